import { cleaned, type ErrorWords, failureOfStatus, type ResponseHeaders, retryAfterMsFrom } from '../failures.ts'
import { isRecord, parsedJson, recordOr } from '../json.ts'
import type { ExchangeFailure } from '../provider.ts'

/**
 * What an answer with an error status means to the caller, and whether another target may do better.
 *
 * @param body - its beginning at least; HTML, nothing at all and half of something are all fine
 * @param credential - replaced wherever the provider echoes it
 */
export function readOpenAiError(
  status: number,
  headers: ResponseHeaders,
  body: Buffer,
  credential: string | undefined,
): ExchangeFailure {
  return failureOfStatus(
    status,
    wordsOf(parsedJson(body.toString('utf8')), credential),
    retryAfterMsFrom(headers),
    'status',
  )
}

/**
 * An `error` member in a stream or body of status 200. The provider has worked by then, and may bill.
 *
 * @param error - the member's value: an object, a string, or either in an array
 */
export function inStreamFailure(error: unknown, credential?: string): ExchangeFailure {
  const words = wordsOf({ error: Array.isArray(error) ? error[0] : error }, credential)
  return failureOfStatus(statusOf(words), words, undefined, 'in-stream')
}

/** What status an in-stream error would have had; 500 when it does not say. */
function statusOf({ status, code, type }: ErrorWords): number {
  if (status !== undefined) return status
  switch (type === undefined || type === 'error' ? code : type) {
    case 'invalid_request_error':
    case 'BadRequestError':
      return 400
    case 'authentication_error':
      return 401
    case 'rate_limit_error':
    case 'rate_limit_exceeded':
    case 'insufficient_quota':
    case 'tokens':
    case 'requests':
      return 429
    default:
      return code === 'rate_limit_exceeded' ? 429 : 500
  }
}

/**
 * Finds the fields in what providers send: OpenAI's envelope, the same in an array (Google), its members without the
 * envelope (Mistral, vLLM), a bare string (xAI, Hugging Face), or FastAPI's `detail`, which Mistral puts into `message`.
 */
function wordsOf(body: unknown, credential: string | undefined): ErrorWords {
  const outer = recordOr(Array.isArray(body) ? body[0] : body)
  const inner = isRecord(outer.error) ? outer.error : outer
  const clean = (value: unknown): string | undefined => cleaned(value, credential)
  const codeValue = inner.code ?? inner.error_code
  const code = clean(typeof codeValue === 'number' ? String(codeValue) : codeValue)
  const status = Number(inner.status_code ?? inner.http_status ?? code)
  const refusedField = fieldRefusedBy(inner.detail) ?? fieldRefusedBy(recordOr(inner.message).detail)
  return {
    message: clean(inner.message) ?? clean(inner.error) ?? clean(inner.detail) ?? clean(refusedField?.message),
    type: clean(inner.type),
    param: clean(inner.param) ?? clean(refusedField?.param),
    // xAI sends a sentence here.
    code: code !== undefined && /^[\w.:-]{1,80}$/.test(code) ? code : undefined,
    status: Number.isInteger(status) && status >= 400 && status <= 599 ? status : undefined,
  }
}

/** FastAPI: `[{ loc: ['body', 'stop', 0], msg, type }]`; the message alone does not say which field it is about. */
function fieldRefusedBy(detail: unknown): { param: string; message: string } | undefined {
  const { loc, msg } = recordOr(Array.isArray(detail) ? detail[0] : undefined)
  if (typeof msg !== 'string') return undefined
  const param = Array.isArray(loc) ? loc.filter((step) => step !== 'body').join('.') : ''
  return { param, message: param === '' ? msg : `${param}: ${msg}` }
}
