import { isUtf8 } from 'node:buffer'
import { GatewayError } from '../../core/errors.ts'
import type { InferenceRequest, Operation } from '../../core/inference/call.ts'
import { type ScannedObject, ScanRefusal, scanJsonObject } from '../../core/inference/json-scan.ts'

const messagesMax = 2_048
const inputsMax = 2_048
const modelLengthMax = 256
const endUserLengthMax = 512

/** Larger bodies are not parsed as a whole: their long texts would be copied twice, only to be forwarded as bytes. */
const parsedBytesMax = 16 * 1024

/** Tokens we take an image or another attached document to be, where the provider does not count for us. */
const attachmentTokens = 1_000
const textBytesPerToken = 4

/**
 * Reads an OpenAI request: checks its structure and the members the gateway acts on, and leaves all others to the
 * provider.
 *
 * @throws GatewayError invalid_json or invalid_body, naming the member at fault
 */
export function readInferenceRequest(operation: Operation, bytes: Buffer): InferenceRequest {
  if (!isUtf8(bytes)) throw new GatewayError('invalid_json', 'The request body is not valid UTF-8.')
  const isParsed = bytes.length <= parsedBytesMax
  const json = isParsed ? parsed(bytes) : undefined
  const scanned = scan(bytes)
  const member: ReadMember = json ? (name) => json[name] : (name) => parsedMember(bytes, scanned, name)
  const stream = operation === 'chat' && booleanMember(member('stream'), 'stream')
  if (operation === 'chat') checkMessages(scanned.items.get('messages'), json?.messages)
  else checkInput(bytes, scanned)
  return {
    model: modelOf(member('model')),
    stream,
    includeUsage: stream && includeUsageOf(member('stream_options')),
    outputTokensMax: countOf(member('max_completion_tokens')) ?? countOf(member('max_tokens')),
    choices: countOf(member('n')) ?? 1,
    endUser: endUserOf(member('user')),
    encodingFormat: encodingFormatOf(member('encoding_format')),
    bytes,
    spans: scanned.spans,
    inputTokensEstimate: Math.ceil(scanned.textBytes / textBytesPerToken) + scanned.attachments * attachmentTokens,
  }
}

type ReadMember = (name: string) => unknown

function parsed(bytes: Buffer): Record<string, unknown> {
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

function scan(bytes: Buffer): ScannedObject {
  try {
    return scanJsonObject(bytes)
  } catch (error) {
    if (!(error instanceof ScanRefusal)) throw error
    if (error.member !== undefined) throw invalid(error.member.slice(0, 64), 'occurs twice in the request body')
    const code = error.kind === 'syntax' ? 'invalid_json' : 'invalid_body'
    throw new GatewayError(code, `The request body ${error.message}.`)
  }
}

/** @throws GatewayError invalid_json for a text with a broken escape in it */
function parsedMember(bytes: Buffer, { spans }: ScannedObject, name: string): unknown {
  const span = spans.get(name)
  if (!span) return undefined
  try {
    return JSON.parse(bytes.toString('utf8', span.start, span.end))
  } catch {
    throw new GatewayError('invalid_json', `The request body is not valid JSON (in "${name}").`)
  }
}

function modelOf(model: unknown): string {
  if (typeof model !== 'string' || model === '') throw invalid('model', 'must be the name of a model')
  if (model.length > modelLengthMax) throw invalid('model', `must have at most ${modelLengthMax} characters`)
  return model
}

/** @param messages - undefined where the body is too large to be parsed: the provider then looks at each message */
function checkMessages(count: number | undefined, messages: unknown): void {
  if (!count) throw invalid('messages', 'must be a list of at least one message')
  if (count > messagesMax) throw invalid('messages', `must have at most ${messagesMax} messages`)
  if (!Array.isArray(messages)) return
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

function checkInput(bytes: Buffer, { spans, items }: ScannedObject): void {
  const span = spans.get('input')
  const count = items.get('input')
  const isText = span !== undefined && bytes[span.start] === 0x22 && span.end - span.start > 2
  if (isText) return
  if (span === undefined || !count) throw invalid('input', 'must be text, or a list of texts or tokens')
  const isTokens = /[-\d]/.test(String.fromCharCode(bytes[firstItem(bytes, span.start)] ?? 0))
  if (count > inputsMax && !isTokens) throw invalid('input', `must have at most ${inputsMax} items`)
}

/** @returns where the first item of the array that opens at `open` begins */
function firstItem(bytes: Buffer, open: number): number {
  let at = open + 1
  while ((bytes[at] ?? 0) <= 0x20) at++
  return at
}

function includeUsageOf(options: unknown): boolean {
  if (options === undefined || options === null) return false
  if (typeof options !== 'object' || Array.isArray(options)) throw invalid('stream_options', 'must be an object')
  return booleanMember((options as { include_usage?: unknown }).include_usage, 'stream_options.include_usage')
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

function booleanMember(value: unknown, param: string): boolean {
  if (value === undefined || value === null) return false
  if (typeof value !== 'boolean') throw invalid(param, 'must be true or false')
  return value
}

/** A count that means something to us; what makes no sense the provider refuses in its own words. */
const countOf = (value: unknown): number | undefined =>
  Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : undefined

const invalid = (param: string, expectation: string): GatewayError =>
  new GatewayError('invalid_body', `"${param}" ${expectation}.`, { param })
