/**
 * A chat request as translators read it: OpenAI's, with its variants settled (text or parts, two names of the output
 * cap, a stop or several) and its structure checked. `read-request.ts` makes it; relays never need it.
 *
 * Every `path` is where the client wrote it, such as `messages[2].content[0]`: errors name it as their `param`.
 */
export interface ChatRequest {
  /** In the client's order; at least one. */
  messages: readonly ChatMessage[]
  tools: readonly FunctionTool[]
  toolChoice: ToolChoice | undefined
  parallelToolCalls: boolean | undefined
  responseFormat: ResponseFormat
  /** `max_completion_tokens`, else `max_tokens`. */
  outputTokensMax: number | undefined
  /** 0 to 2. */
  temperature: number | undefined
  topP: number | undefined
  /** Empty when there are none. */
  stop: readonly string[]
  seed: number | undefined
  presencePenalty: number | undefined
  frequencyPenalty: number | undefined
  logprobs: boolean
  topLogprobs: number | undefined
  /** `n`. */
  choices: number
  /** `reasoning_effort`, such as `none`, `minimal`, `low`, `medium`, `high`, `xhigh`; models know different ones. */
  reasoningEffort: string | undefined
  /** `user`, else `safety_identifier`. */
  endUser: string | undefined
  metadata: Readonly<Record<string, unknown>> | undefined
  serviceTier: string | undefined
  /** Every top-level member that says something (is not null), by its name, as the client sent it. */
  members: Readonly<Record<string, unknown>>
}

export type ChatMessage = SystemMessage | UserMessage | AssistantMessage | ToolMessage

/** `system` or `developer`: the newer name of the same. */
export interface SystemMessage {
  role: 'system'
  parts: readonly TextPart[]
  path: string
}

export interface UserMessage {
  role: 'user'
  parts: readonly ContentPart[]
  path: string
}

export interface AssistantMessage {
  role: 'assistant'
  /** Text and refusals; may be empty beside tool calls. */
  parts: readonly TextPart[]
  toolCalls: readonly ToolCall[]
  /** What came as `thinking_blocks` in an answer and has to go back as it was, in its order. */
  thinkingBlocks: readonly Readonly<Record<string, unknown>>[]
  /** Extensions beside `function`, such as `extra_content`, that concern the whole message. */
  extra: Readonly<Record<string, unknown>> | undefined
  path: string
}

export interface ToolMessage {
  role: 'tool'
  /** Names the call this is the result of. */
  toolCallId: string
  parts: readonly ContentPart[]
  cacheControl: CacheControl | undefined
  path: string
}

export interface ToolCall {
  id: string
  name: string
  /** Parsed; `{}` for none. A provider that keeps texts may use `argumentsText`. */
  arguments: Readonly<Record<string, unknown>>
  argumentsText: string
  /** `extra_content`: what a provider wanted back with the call. */
  extra: Readonly<Record<string, unknown>> | undefined
  path: string
}

export type ContentPart = TextPart | ImagePart | FilePart | AudioPart

/** A prompt-cache marker as Anthropic names it (`cache_control`); `ttl` is `5m` or `1h`. */
export type CacheControl = Readonly<Record<string, unknown>>

interface PartBase {
  cacheControl: CacheControl | undefined
  path: string
}

export interface TextPart extends PartBase {
  kind: 'text'
  text: string
}

export interface ImagePart extends PartBase {
  kind: 'image'
  source: MediaSource
  detail: string | undefined
}

export interface FilePart extends PartBase {
  kind: 'file'
  source: MediaSource
  filename: string | undefined
}

export interface AudioPart extends PartBase {
  kind: 'audio'
  /** Such as `wav` or `mp3`. */
  format: string
  base64: string
}

/** Bytes in the request, or a place from which only the provider may fetch them: the gateway never does. */
export type MediaSource = { kind: 'data'; mediaType: string; base64: string } | { kind: 'url'; url: string }

export interface FunctionTool {
  name: string
  description: string | undefined
  /** JSON Schema; undefined for a function without arguments. */
  parameters: Readonly<Record<string, unknown>> | undefined
  strict: boolean | undefined
  cacheControl: CacheControl | undefined
  path: string
}

export type ToolChoice = { kind: 'auto' | 'none' | 'required' } | { kind: 'function'; name: string }

export type ResponseFormat =
  | { kind: 'text' }
  | { kind: 'json-object' }
  | {
      kind: 'json-schema'
      name: string
      description: string | undefined
      schema: Readonly<Record<string, unknown>>
      strict: boolean | undefined
    }

/** What to do about a parameter that the upstream has no equivalent of and that would change the answer. */
export type UnsupportedParameters = 'refuse' | 'drop'
