import { GatewayError } from '../../core/errors.ts'
import type { ChatRequest__Output } from '../../generated/proto/thinkpixel/llmgw/v1/ChatRequest.ts'
import type { ContentPart__Output } from '../../generated/proto/thinkpixel/llmgw/v1/ContentPart.ts'
import type { InlineData__Output } from '../../generated/proto/thinkpixel/llmgw/v1/InlineData.ts'
import type { Message__Output } from '../../generated/proto/thinkpixel/llmgw/v1/Message.ts'
import type { ResponseFormat__Output } from '../../generated/proto/thinkpixel/llmgw/v1/ResponseFormat.ts'
import type { Tool__Output } from '../../generated/proto/thinkpixel/llmgw/v1/Tool.ts'
import type { ToolCall__Output } from '../../generated/proto/thinkpixel/llmgw/v1/ToolCall.ts'
import type { ToolChoice__Output } from '../../generated/proto/thinkpixel/llmgw/v1/ToolChoice.ts'
import { type FieldByMember, withProviderOptions } from './provider-options.ts'
import { fromStruct } from './struct.ts'

type Json = Record<string, unknown>

/** Of OpenAI's chat request, each with the field of ours that stands for it. */
const fields: FieldByMember = {
  model: 'model',
  messages: 'messages',
  tools: 'tools',
  tool_choice: 'tool_choice',
  parallel_tool_calls: 'parallel_tool_calls',
  response_format: 'response_format',
  max_completion_tokens: 'max_output_tokens',
  max_tokens: 'max_output_tokens',
  temperature: 'temperature',
  top_p: 'top_p',
  stop: 'stop',
  seed: 'seed',
  presence_penalty: 'presence_penalty',
  frequency_penalty: 'frequency_penalty',
  logit_bias: 'logit_bias',
  logprobs: 'logprobs',
  top_logprobs: 'top_logprobs',
  n: 'choices',
  reasoning_effort: 'reasoning_effort',
  user: 'user',
  metadata: 'metadata',
  service_tier: 'service_tier',
  stream: 'the method that is called',
  stream_options: 'the method that is called',
}

/**
 * A request in OpenAI's form, in which core has it.
 *
 * @throws GatewayError invalid_body, with the path of our field at fault as `param`
 */
export function chatBody(chat: ChatRequest__Output | null, stream: boolean): Buffer {
  if (!chat) throw invalid('chat', 'is missing')
  const body: Json = {
    model: chat.model,
    messages: chat.messages.map(messageOf),
    tools: chat.tools.length > 0 ? chat.tools.map(toolOf) : undefined,
    tool_choice: chat.toolChoice ? toolChoiceOf(chat.toolChoice) : undefined,
    parallel_tool_calls: chat.parallelToolCalls,
    response_format: chat.responseFormat ? responseFormatOf(chat.responseFormat) : undefined,
    max_completion_tokens: chat.maxOutputTokens,
    temperature: finite(chat.temperature, 'chat.temperature'),
    top_p: finite(chat.topP, 'chat.top_p'),
    stop: chat.stop.length > 0 ? chat.stop : undefined,
    seed: wholeNumber(chat.seed, 'chat.seed'),
    presence_penalty: finite(chat.presencePenalty, 'chat.presence_penalty'),
    frequency_penalty: finite(chat.frequencyPenalty, 'chat.frequency_penalty'),
    logit_bias: ifAny(chat.logitBias),
    logprobs: chat.logprobs,
    top_logprobs: chat.topLogprobs,
    n: chat.choices,
    reasoning_effort: chat.reasoningEffort,
    user: chat.user,
    metadata: ifAny(chat.metadata),
    service_tier: chat.serviceTier,
    ...(stream && { stream: true }),
  }
  return Buffer.from(JSON.stringify(withProviderOptions(body, chat.providerOptions, fields)))
}

const roles = {
  ROLE_SYSTEM: 'system',
  ROLE_DEVELOPER: 'developer',
  ROLE_USER: 'user',
  ROLE_ASSISTANT: 'assistant',
  ROLE_TOOL: 'tool',
} as const

function messageOf(message: Message__Output, at: number): Json {
  const path = `chat.messages[${at}]`
  const role = (roles as Readonly<Record<string, string>>)[message.role]
  if (role === undefined) throw invalid(`${path}.role`, 'must be one of the roles')
  const { content, toolCalls, extra } = message
  const isSilent = content.length === 0 && (toolCalls.length > 0 || message.refusal !== '')
  return {
    ...(extra && fromStruct(extra)),
    role,
    content: isSilent ? null : contentOf(content, `${path}.content`),
    ...(message.name !== '' && { name: message.name }),
    ...(toolCalls.length > 0 && { tool_calls: toolCalls.map(toolCallOf) }),
    ...(message.toolCallId !== '' && { tool_call_id: message.toolCallId }),
    ...(message.refusal !== '' && { refusal: message.refusal }),
  }
}

/** One plain text is sent as text: there are providers that know nothing else. */
function contentOf(content: readonly ContentPart__Output[], path: string): unknown {
  const [only, ...others] = content
  if (!only) return ''
  if (others.length === 0 && only.part === 'text' && !only.extra) return only.text
  return content.map((part, at) => partOf(part, `${path}[${at}]`))
}

function partOf(part: ContentPart__Output, path: string): Json {
  return { ...(part.extra && fromStruct(part.extra)), ...barePartOf(part, path) }
}

function barePartOf(part: ContentPart__Output, path: string): Json {
  switch (part.part) {
    case 'text':
      return { type: 'text', text: part.text }
    case 'image': {
      const { source, url, inline, detail } = part.image as NonNullable<typeof part.image>
      if (source === undefined) throw invalid(`${path}.image`, 'needs a url or an inline image')
      const place = source === 'url' ? url : dataUrl(inline, `${path}.image.inline`)
      return { type: 'image_url', image_url: { url: place, ...(detail !== '' && { detail }) } }
    }
    case 'audio': {
      const { format, data } = part.audio as NonNullable<typeof part.audio>
      return { type: 'input_audio', input_audio: { data: data.toString('base64'), format } }
    }
    case 'file': {
      const { source, fileId, inline, filename } = part.file as NonNullable<typeof part.file>
      if (source === undefined) throw invalid(`${path}.file`, 'needs a file_id or an inline document')
      const place = source === 'fileId' ? { file_id: fileId } : { file_data: dataUrl(inline, `${path}.file.inline`) }
      return { type: 'file', file: { ...place, ...(filename !== '' && { filename }) } }
    }
    case 'other':
      return part.other ? fromStruct(part.other) : {}
    default:
      throw invalid(path, 'must be a text, an image, audio, a file or another part')
  }
}

function dataUrl(inline: InlineData__Output | null | undefined, path: string): string {
  if (!inline?.mediaType) throw invalid(`${path}.media_type`, 'is missing')
  return `data:${inline.mediaType};base64,${inline.data.toString('base64')}`
}

const toolCallOf = ({ id, name, arguments: text, extra }: ToolCall__Output): Json => ({
  ...(extra && fromStruct(extra)),
  id,
  type: 'function',
  function: { name, arguments: text },
})

function toolOf(tool: Tool__Output, at: number): Json {
  if (tool.other) return fromStruct(tool.other)
  if (!tool.function) throw invalid(`chat.tools[${at}]`, 'must be a function or another tool')
  const { name, description, parameters, strict } = tool.function
  return {
    type: 'function',
    function: {
      name,
      ...(description !== '' && { description }),
      ...(parameters && { parameters: fromStruct(parameters) }),
      strict,
    },
  }
}

const toolChoiceModes: Readonly<Record<string, string>> = {
  TOOL_CHOICE_MODE_AUTO: 'auto',
  TOOL_CHOICE_MODE_NONE: 'none',
  TOOL_CHOICE_MODE_REQUIRED: 'required',
}

function toolChoiceOf({ choice, mode, functionName }: ToolChoice__Output): unknown {
  if (choice === 'functionName') return { type: 'function', function: { name: functionName } }
  const known = toolChoiceModes[mode ?? '']
  if (known === undefined) throw invalid('chat.tool_choice', 'must be a mode or the name of a function')
  return known
}

function responseFormatOf({ format, jsonSchema }: ResponseFormat__Output): Json {
  switch (format) {
    case 'text':
      return { type: 'text' }
    case 'jsonObject':
      return { type: 'json_object' }
    case 'jsonSchema': {
      const { name, description, schema, strict } = jsonSchema as NonNullable<typeof jsonSchema>
      const described = description === '' ? undefined : description
      const json_schema = { name, description: described, schema: schema ? fromStruct(schema) : undefined, strict }
      return { type: 'json_schema', json_schema }
    }
    default:
      throw invalid('chat.response_format', 'must be text, a json_object or a json_schema')
  }
}

/** JSON has no other numbers. */
function finite(value: number | string | undefined, path: string): number | undefined {
  if (value === undefined) return undefined
  const number = Number(value)
  if (!Number.isFinite(number)) throw invalid(path, 'must be a finite number')
  return number
}

function wholeNumber(value: string | undefined, path: string): number | undefined {
  if (value === undefined) return undefined
  const number = Number(value)
  if (!Number.isSafeInteger(number)) throw invalid(path, 'must be within 2^53')
  return number
}

const ifAny = <T>(map: Readonly<Record<string, T>>): Readonly<Record<string, T>> | undefined =>
  Object.keys(map).length > 0 ? map : undefined

const invalid = (param: string, expectation: string): GatewayError =>
  new GatewayError('invalid_body', `"${param}" ${expectation}.`, { param })
