import { isUtf8 } from 'node:buffer'
import { GatewayError } from '../../core/errors.ts'
import type { InferenceRequest, Operation } from '../../core/inference/call.ts'
import { DuplicateMemberError, type Span, topLevelSpans } from '../../core/inference/json-spans.ts'
import { estimatedTokens, measureWithinLimits } from './body-limits.ts'

const messagesMax = 2_048
const inputsMax = 2_048
const modelLengthMax = 256
const endUserLengthMax = 512

/**
 * Reads an OpenAI request: checks the members the gateway acts on, and leaves all others to the provider.
 *
 * @throws GatewayError invalid_json or invalid_body, naming the member at fault
 */
export function readInferenceRequest(operation: Operation, bytes: Buffer): InferenceRequest {
  const json = parsed(bytes)
  const measure = measureWithinLimits(json)
  const stream = operation === 'chat' && booleanMember(json, 'stream')
  if (operation === 'chat') checkMessages(json.messages)
  else checkInput(json.input)
  return {
    model: modelOf(json.model),
    stream,
    includeUsage: stream && includeUsageOf(json.stream_options),
    outputTokensMax: countMember(json, 'max_completion_tokens') ?? countMember(json, 'max_tokens'),
    choices: countMember(json, 'n') ?? 1,
    endUser: endUserOf(json.user),
    encodingFormat: encodingFormatOf(json.encoding_format),
    json,
    bytes,
    spans: spansOf(bytes),
    inputTokensEstimate: estimatedTokens(measure),
  }
}

function parsed(bytes: Buffer): Record<string, unknown> {
  if (!isUtf8(bytes)) throw new GatewayError('invalid_json', 'The request body is not valid UTF-8.')
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    const position = /at position (\d+)/.exec(String(error))?.[1]
    throw new GatewayError(
      'invalid_json',
      `The request body is not valid JSON${position === undefined ? '' : ` (at character ${position})`}.`,
    )
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new GatewayError('invalid_body', 'The request body must be a JSON object.')
  }
  return value as Record<string, unknown>
}

function spansOf(bytes: Buffer): ReadonlyMap<string, Span> {
  try {
    return topLevelSpans(bytes)
  } catch (error) {
    if (!(error instanceof DuplicateMemberError)) throw error
    throw invalid(error.member.slice(0, 64), 'occurs twice in the request body')
  }
}

function modelOf(model: unknown): string {
  if (typeof model !== 'string' || model === '') throw invalid('model', 'must be the name of a model')
  if (model.length > modelLengthMax) throw invalid('model', `must have at most ${modelLengthMax} characters`)
  return model
}

function checkMessages(messages: unknown): void {
  if (!Array.isArray(messages) || messages.length === 0)
    throw invalid('messages', 'must be a list of at least one message')
  if (messages.length > messagesMax) throw invalid('messages', `must have at most ${messagesMax} messages`)
  for (let i = 0; i < messages.length; i++) {
    const message: unknown = messages[i]
    if (typeof message !== 'object' || message === null || Array.isArray(message)) {
      throw invalid(`messages[${i}]`, 'must be an object')
    }
    const { role, content } = message as { role?: unknown; content?: unknown }
    if (typeof role !== 'string' || role === '') throw invalid(`messages[${i}].role`, 'must be a role such as "user"')
    if (content !== undefined && content !== null && typeof content !== 'string' && !Array.isArray(content)) {
      throw invalid(`messages[${i}].content`, 'must be text or a list of parts')
    }
  }
}

function checkInput(input: unknown): void {
  if (typeof input === 'string' && input !== '') return
  if (!Array.isArray(input) || input.length === 0) throw invalid('input', 'must be text, or a list of texts or tokens')
  if (input.length > inputsMax && typeof input[0] !== 'number') {
    throw invalid('input', `must have at most ${inputsMax} items`)
  }
}

function includeUsageOf(options: unknown): boolean {
  if (options === undefined || options === null) return false
  if (typeof options !== 'object' || Array.isArray(options)) throw invalid('stream_options', 'must be an object')
  return booleanMember(options as Record<string, unknown>, 'include_usage', 'stream_options.include_usage')
}

function encodingFormatOf(format: unknown): 'float' | 'base64' {
  if (format === undefined || format === null || format === 'float') return 'float'
  if (format === 'base64') return 'base64'
  throw invalid('encoding_format', 'must be "float" or "base64"')
}

function endUserOf(user: unknown): string | undefined {
  if (user === undefined || user === null) return undefined
  if (typeof user !== 'string') throw invalid('user', 'must be a string')
  return user.slice(0, endUserLengthMax)
}

function booleanMember(json: Record<string, unknown>, name: string, param = name): boolean {
  const value = json[name]
  if (value === undefined || value === null) return false
  if (typeof value !== 'boolean') throw invalid(param, 'must be true or false')
  return value
}

/** A count that means something to us; what makes no sense the provider refuses in its own words. */
function countMember(json: Record<string, unknown>, name: string): number | undefined {
  const value = json[name]
  return Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : undefined
}

const invalid = (param: string, expectation: string): GatewayError =>
  new GatewayError('invalid_body', `"${param}" ${expectation}.`, { param })
