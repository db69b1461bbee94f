import { isUtf8 } from 'node:buffer'
import { GatewayError } from '../errors.ts'
import type { InferenceRequest, Operation } from './call.ts'
import { type ItemObserver, type ScannedObject, ScanRefusal, type Span, scanJsonObject } from './json-scan.ts'

const messagesMax = 2_048
const inputsMax = 2_048
const modelLengthMax = 256
const endUserLengthMax = 512

/** Tokens we take an image or another attached document to be, where the provider does not count for us. */
const attachmentTokens = 1_000
const textBytesPerToken = 4

/**
 * Reads an OpenAI request: checks its structure and the members the gateway acts on, and leaves all others to the
 * provider. The body is scanned and never parsed as a whole: its texts would be copied only to be forwarded as bytes.
 *
 * @throws GatewayError invalid_json or invalid_body, naming the member at fault
 */
export function readInferenceRequest(operation: Operation, bytes: Buffer): InferenceRequest {
  if (!isUtf8(bytes)) throw new GatewayError('invalid_json', 'The request body is not valid UTF-8.')
  const messages = operation === 'chat' ? new MessageCheck() : undefined
  const scanned = scan(bytes, messages)
  const member = (name: string): unknown => {
    const span = scanned.spans.get(name)
    return span && parsedMember(bytes, span, name)
  }
  const stream = operation === 'chat' && booleanMember(member('stream'), 'stream')
  if (messages) messages.verify(scanned.items.get('messages'))
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

/** @throws GatewayError invalid_json for what the scan lets pass: a control character deep inside of a long text */
function parsedMember(bytes: Buffer, { start, end }: Span, name: string): unknown {
  try {
    return JSON.parse(bytes.toString('utf8', start, end))
  } catch {
    throw new GatewayError('invalid_json', `The request body is not valid JSON (in "${name}").`)
  }
}

function scan(bytes: Buffer, observer: ItemObserver | undefined): ScannedObject {
  try {
    return scanJsonObject(bytes, observer)
  } catch (error) {
    if (!(error instanceof ScanRefusal)) throw error
    if (error.member !== undefined) throw invalid(error.member.slice(0, 64), 'occurs twice in the request body')
    const code = error.kind === 'syntax' ? 'invalid_json' : 'invalid_body'
    throw new GatewayError(code, `The request body ${error.message}.`)
  }
}

function modelOf(model: unknown): string {
  if (typeof model !== 'string' || model === '') throw invalid('model', 'must be the name of a model')
  if (model.length > modelLengthMax) throw invalid('model', `must have at most ${modelLengthMax} characters`)
  return model
}

/** Looks at each message while the body is scanned, and keeps the first fault until it is known to be JSON. */
class MessageCheck implements ItemObserver {
  readonly list = 'messages'
  #index = -1
  #isObject = false
  #hasRole = false
  #fault: GatewayError | undefined

  item(firstByte: number): void {
    this.#index++
    this.#isObject = firstByte === openBrace
    this.#hasRole = false
  }

  member(name: string, firstByte: number, valueBytes: number): void {
    if (name === 'role') this.#hasRole = firstByte === quote && valueBytes > 2
    else if (name === 'content' && firstByte !== quote && firstByte !== openBracket && firstByte !== nullStart) {
      this.#fault ??= invalid(`messages[${this.#index}].content`, 'must be text or a list of parts')
    }
  }

  itemEnded(): void {
    if (!this.#isObject) this.#fault ??= invalid(`messages[${this.#index}]`, 'must be an object')
    else if (!this.#hasRole) this.#fault ??= invalid(`messages[${this.#index}].role`, 'must be a role such as "user"')
  }

  /** @param count - undefined when there is no such list */
  verify(count: number | undefined): void {
    if (!count) throw invalid('messages', 'must be a list of at least one message')
    if (count > messagesMax) throw invalid('messages', `must have at most ${messagesMax} messages`)
    if (this.#fault) throw this.#fault
  }
}

const quote = 0x22
const openBracket = 0x5b
const nullStart = 0x6e
const openBrace = 0x7b

function checkInput(bytes: Buffer, { spans, items }: ScannedObject): void {
  const span = spans.get('input')
  const count = items.get('input')
  const isText = span !== undefined && bytes[span.start] === quote && span.end - span.start > 2
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
