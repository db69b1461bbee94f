import { GatewayError } from '../errors.ts'
import type {
  AssistantMessage,
  CacheControl,
  ChatMessage,
  ChatRequest,
  ContentPart,
  FunctionTool,
  MediaSource,
  ResponseFormat,
  TextPart,
  ToolCall,
  ToolChoice,
} from './request.ts'

type Fields = Readonly<Record<string, unknown>>

/**
 * Settles what OpenAI's form leaves open, and refuses what no translator could make sense of.
 *
 * @param body - the parsed request of a client
 * @throws GatewayError invalid_body or unsupported_parameter, with the path at fault as `param`
 */
export function readChatRequest(body: Fields): ChatRequest {
  const members = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null && value !== undefined))
  if (members.functions !== undefined || members.function_call !== undefined) {
    const param = members.functions === undefined ? 'function_call' : 'functions'
    throw unsupported(param, 'is not available for this model: use "tools" and "tool_choice"')
  }
  const callNames = new Map<string, string>()
  return {
    messages: list(members.messages, 'messages').map((message, at) =>
      messageOf(record(message, `messages[${at}]`), `messages[${at}]`, callNames),
    ),
    tools: members.tools === undefined ? [] : list(members.tools, 'tools').map(toolOf),
    toolChoice: toolChoiceOf(members.tool_choice),
    parallelToolCalls: optional(members.parallel_tool_calls, 'parallel_tool_calls', 'boolean'),
    responseFormat: responseFormatOf(members.response_format),
    outputTokensMax:
      positive(members.max_completion_tokens, 'max_completion_tokens') ?? positive(members.max_tokens, 'max_tokens'),
    temperature: inRange(members.temperature, 'temperature', 0, 2),
    topP: inRange(members.top_p, 'top_p', 0, 1),
    stop: stopOf(members.stop),
    seed: optional(members.seed, 'seed', 'number'),
    presencePenalty: inRange(members.presence_penalty, 'presence_penalty', -2, 2),
    frequencyPenalty: inRange(members.frequency_penalty, 'frequency_penalty', -2, 2),
    logprobs: optional(members.logprobs, 'logprobs', 'boolean') ?? false,
    topLogprobs: optional(members.top_logprobs, 'top_logprobs', 'number'),
    choices: positive(members.n, 'n') ?? 1,
    reasoningEffort: optional(members.reasoning_effort, 'reasoning_effort', 'string'),
    endUser: optional(members.user ?? members.safety_identifier, 'user', 'string'),
    metadata: members.metadata === undefined ? undefined : record(members.metadata, 'metadata'),
    serviceTier: optional(members.service_tier, 'service_tier', 'string'),
    members,
  }
}

/** @param callNames - of the calls so far, by id: a result must belong to one */
function messageOf(message: Fields, path: string, callNames: Map<string, string>): ChatMessage {
  switch (message.role) {
    case 'system':
    case 'developer':
      return { role: 'system', parts: textPartsOf(message.content, `${path}.content`), path }
    case 'user':
      return { role: 'user', parts: partsOf(message.content, `${path}.content`), path }
    case 'assistant':
      return assistantMessageOf(message, path, callNames)
    case 'tool': {
      const toolCallId = text(message.tool_call_id, `${path}.tool_call_id`)
      if (!callNames.has(toolCallId)) {
        throw invalid(`${path}.tool_call_id`, 'names no tool call of an assistant message before it')
      }
      return {
        role: 'tool',
        toolCallId,
        parts: partsOf(message.content, `${path}.content`),
        cacheControl: cacheControlOf(message),
        path,
      }
    }
    case 'function':
      throw unsupported(`${path}.role`, 'may not be "function" for this model: use "tool" messages')
    default:
      throw invalid(`${path}.role`, 'must be one of system, developer, user, assistant and tool')
  }
}

function assistantMessageOf(message: Fields, path: string, callNames: Map<string, string>): AssistantMessage {
  if (message.function_call !== undefined && message.function_call !== null) {
    throw unsupported(`${path}.function_call`, 'is not available for this model: use "tool_calls"')
  }
  const toolCalls = optionalList(message.tool_calls, `${path}.tool_calls`).map((call, at) =>
    toolCallOf(record(call, `${path}.tool_calls[${at}]`), `${path}.tool_calls[${at}]`),
  )
  for (const { id, name } of toolCalls) callNames.set(id, name)
  const parts: TextPart[] = isNothing(message.content) ? [] : textPartsOf(message.content, `${path}.content`)
  if (typeof message.refusal === 'string' && message.refusal !== '') {
    parts.push({ kind: 'text', text: message.refusal, cacheControl: undefined, path: `${path}.refusal` })
  }
  return {
    role: 'assistant',
    parts,
    toolCalls,
    thinkingBlocks: optionalList(message.thinking_blocks, `${path}.thinking_blocks`).map((block, at) =>
      record(block, `${path}.thinking_blocks[${at}]`),
    ),
    extra: isRecord(message.extra_content) ? message.extra_content : undefined,
    path,
  }
}

function toolCallOf(call: Fields, path: string): ToolCall {
  if (call.type !== undefined && call.type !== 'function') {
    throw unsupported(`${path}.type`, 'must be "function" for this model')
  }
  const called = record(call.function, `${path}.function`)
  const argumentsText = typeof called.arguments === 'string' ? called.arguments : ''
  return {
    id: text(call.id, `${path}.id`),
    name: text(called.name, `${path}.function.name`),
    arguments: argumentsOf(argumentsText, `${path}.function.arguments`),
    argumentsText,
    extra: isRecord(call.extra_content) ? call.extra_content : undefined,
    path,
  }
}

function argumentsOf(json: string, path: string): Fields {
  if (json.trim() === '') return {}
  let parsed: unknown
  try {
    parsed = JSON.parse(json)
  } catch {
    throw invalid(path, 'must be JSON: an object of the arguments')
  }
  return record(parsed, path)
}

/** Text of parts that can be nothing but text. */
function textPartsOf(content: unknown, path: string): TextPart[] {
  return partsOf(content, path).map((part) => {
    if (part.kind !== 'text') throw unsupported(part.path, 'must be text in a message of this role')
    return part
  })
}

function partsOf(content: unknown, path: string): ContentPart[] {
  if (typeof content === 'string') return [{ kind: 'text', text: content, cacheControl: undefined, path }]
  return list(content, path).map((part, at) => partOf(record(part, `${path}[${at}]`), `${path}[${at}]`))
}

function partOf(part: Fields, path: string): ContentPart {
  const base = { cacheControl: cacheControlOf(part), path }
  switch (part.type) {
    case 'text':
      return { ...base, kind: 'text', text: optional(part.text, `${path}.text`, 'string') ?? '' }
    case 'refusal':
      return { ...base, kind: 'text', text: optional(part.refusal, `${path}.refusal`, 'string') ?? '' }
    case 'image_url': {
      const image = typeof part.image_url === 'string' ? { url: part.image_url } : part.image_url
      const { url, detail } = record(image, `${path}.image_url`)
      const source = sourceOf(text(url, `${path}.image_url.url`), `${path}.image_url.url`)
      return { ...base, kind: 'image', source, detail: typeof detail === 'string' ? detail : undefined }
    }
    case 'file':
      return { ...base, kind: 'file', ...fileOf(record(part.file, `${path}.file`), `${path}.file`) }
    case 'input_audio': {
      const { data, format } = record(part.input_audio, `${path}.input_audio`)
      return {
        ...base,
        kind: 'audio',
        format: text(format, `${path}.input_audio.format`),
        base64: text(data, `${path}.input_audio.data`),
      }
    }
    default:
      throw unsupported(`${path}.type`, 'must be one of text, image_url, file and input_audio for this model')
  }
}

function fileOf(file: Fields, path: string): { source: MediaSource; filename: string | undefined } {
  const filename = optional(file.filename, `${path}.filename`, 'string')
  if (file.file_data === undefined) {
    throw unsupported(
      `${path}.file_id`,
      'is not available for this model: files live at one provider; send "file_data"',
    )
  }
  return { source: sourceOf(text(file.file_data, `${path}.file_data`), `${path}.file_data`), filename }
}

const dataUrl = /^data:([\w.+-]+\/[\w.+-]+)(?:;[\w.+-]+=[^;,]*)*;base64,/i

function sourceOf(url: string, path: string): MediaSource {
  // Of a long data URL only its head is matched; the rest may have megabytes.
  const head = dataUrl.exec(url.slice(0, 256))
  if (head) return { kind: 'data', mediaType: (head[1] as string).toLowerCase(), base64: url.slice(head[0].length) }
  if (/^data:/i.test(url)) throw invalid(path, 'must be a data URL with a media type and base64')
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(url)) return { kind: 'url', url }
  throw invalid(path, 'must be a URL, or a data URL with base64')
}

function toolOf(value: unknown, at: number): FunctionTool {
  const path = `tools[${at}]`
  const tool = record(value, path)
  if (tool.type !== 'function') throw unsupported(`${path}.type`, 'must be "function" for this model')
  const { name, description, parameters, strict } = record(tool.function, `${path}.function`)
  return {
    name: text(name, `${path}.function.name`),
    description: optional(description ?? undefined, `${path}.function.description`, 'string'),
    parameters: isNothing(parameters) ? undefined : record(parameters, `${path}.function.parameters`),
    strict: optional(strict ?? undefined, `${path}.function.strict`, 'boolean'),
    cacheControl: cacheControlOf(tool) ?? cacheControlOf(record(tool.function, path)),
    path,
  }
}

function toolChoiceOf(choice: unknown): ToolChoice | undefined {
  if (choice === undefined) return undefined
  if (choice === 'auto' || choice === 'none' || choice === 'required') return { kind: choice }
  if (!isRecord(choice) || choice.type !== 'function') {
    throw unsupported('tool_choice', 'must be auto, none, required or a function for this model')
  }
  const named = record(choice.function, 'tool_choice.function')
  return { kind: 'function', name: text(named.name, 'tool_choice.function.name') }
}

function responseFormatOf(format: unknown): ResponseFormat {
  if (format === undefined) return { kind: 'text' }
  const { type, json_schema } = record(format, 'response_format')
  switch (type) {
    case 'text':
      return { kind: 'text' }
    case 'json_object':
      return { kind: 'json-object' }
    case 'json_schema': {
      const wanted = record(json_schema, 'response_format.json_schema')
      return {
        kind: 'json-schema',
        name: text(wanted.name, 'response_format.json_schema.name'),
        description: optional(wanted.description ?? undefined, 'response_format.json_schema.description', 'string'),
        schema: isNothing(wanted.schema) ? {} : record(wanted.schema, 'response_format.json_schema.schema'),
        strict: optional(wanted.strict ?? undefined, 'response_format.json_schema.strict', 'boolean'),
      }
    }
    default:
      throw unsupported('response_format.type', 'must be one of text, json_object and json_schema')
  }
}

function stopOf(stop: unknown): string[] {
  if (stop === undefined) return []
  const stops = typeof stop === 'string' ? [stop] : list(stop, 'stop')
  return stops.map((each, at) => text(each, `stop[${at}]`))
}

const cacheControlOf = (from: Fields): CacheControl | undefined =>
  isRecord(from.cache_control) ? from.cache_control : undefined

interface TypeByName {
  string: string
  number: number
  boolean: boolean
}

const articles = { string: 'text', number: 'a number', boolean: 'true or false' } as const

function optional<T extends keyof TypeByName>(value: unknown, path: string, type: T): TypeByName[T] | undefined {
  if (value === undefined) return undefined
  if (typeof value !== type) throw invalid(path, `must be ${articles[type]}`)
  return value as TypeByName[T]
}

function positive(value: unknown, path: string): number | undefined {
  if (value === undefined) return undefined
  if (!Number.isSafeInteger(value) || (value as number) < 1) throw invalid(path, 'must be a whole number from 1')
  return value as number
}

function inRange(value: unknown, path: string, min: number, max: number): number | undefined {
  const number = optional(value, path, 'number')
  if (number === undefined || (number >= min && number <= max)) return number
  throw invalid(path, `must be from ${min} to ${max}`)
}

function text(value: unknown, path: string): string {
  if (typeof value !== 'string' || value === '') throw invalid(path, 'must be text, and not empty')
  return value
}

function list(value: unknown, path: string): readonly unknown[] {
  if (!Array.isArray(value))
    throw invalid(path, path.endsWith('.content') ? 'must be text or a list of parts' : 'must be a list')
  return value
}

const optionalList = (value: unknown, path: string): readonly unknown[] => (isNothing(value) ? [] : list(value, path))

function record(value: unknown, path: string): Fields {
  if (!isRecord(value)) throw invalid(path, 'must be an object')
  return value
}

const isNothing = (value: unknown): value is null | undefined => value === null || value === undefined

const isRecord = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const invalid = (param: string, expectation: string): GatewayError =>
  new GatewayError('invalid_body', `"${param}" ${expectation}.`, { param })

const unsupported = (param: string, expectation: string): GatewayError =>
  new GatewayError('unsupported_parameter', `"${param}" ${expectation}.`, { param })
