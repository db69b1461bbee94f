import { cleaned, failureOfStatus, type ResponseHeaders, retryAfterMsFrom } from '../failures.ts'
import { isRecord, type JsonObject, nonEmptyString, parsedJson, recordOr, recordsIn } from '../json.ts'
import type { ExchangeFailure } from '../provider.ts'

/**
 * What an error answer of Google's means: `{ error: { code, message, status, details } }`, or that in a list.
 *
 * https://cloud.google.com/apis/design/errors
 *
 * @param body - its beginning at least
 * @param credential - replaced wherever it is echoed
 */
export function readGeminiError(
  status: number,
  headers: ResponseHeaders,
  body: Buffer,
  credential: string | undefined,
): ExchangeFailure {
  const parsed = parsedJson(body.toString('utf8'))
  const { error } = recordOr(Array.isArray(parsed) ? parsed[0] : parsed)
  return failure(status, recordOr(error), retryAfterMsFrom(headers), 'status', credential)
}

/** A chunk `{ error }` in a stream with status 200. */
export function geminiStreamFailure(error: unknown, credential: string | undefined): ExchangeFailure {
  const said = recordOr(error)
  const code = Number(said.code)
  const isStatus = Number.isInteger(code) && code >= 400 && code <= 599
  const status = isStatus ? code : (statusByWord[String(said.status)] ?? 500)
  return failure(status, said, undefined, 'in-stream', credential)
}

const statusByWord: Readonly<Record<string, number>> = {
  INVALID_ARGUMENT: 400,
  FAILED_PRECONDITION: 400,
  OUT_OF_RANGE: 400,
  UNAUTHENTICATED: 401,
  PERMISSION_DENIED: 403,
  NOT_FOUND: 404,
  ABORTED: 409,
  RESOURCE_EXHAUSTED: 429,
  CANCELLED: 499,
  INTERNAL: 500,
  UNAVAILABLE: 503,
  DEADLINE_EXCEEDED: 504,
}

function failure(
  status: number,
  error: JsonObject,
  retryAfterMs: number | undefined,
  kind: 'status' | 'in-stream',
  credential: string | undefined,
): ExchangeFailure {
  const details = recordsIn(error.details)
  const message = cleaned(error.message, credential)
  const isTooLong = /exceeds the maximum number of tokens|input token count .* exceeds/i.test(message ?? '')
  // A wrong key is told with 400.
  const isOurKey = details.some(({ reason }) => reason === 'API_KEY_INVALID')
  const words = {
    message,
    type: undefined,
    param: undefined,
    code: isTooLong ? 'context_length_exceeded' : undefined,
    status: undefined,
  }
  return failureOfStatus(isOurKey ? 401 : status, words, retryAfterMs ?? retryDelayMs(details), kind)
}

/** `RetryInfo` has a protobuf duration: `41.5s`. */
function retryDelayMs(details: readonly JsonObject[]): number | undefined {
  const info = details.find((detail) => nonEmptyString(detail['@type'])?.endsWith('google.rpc.RetryInfo'))
  const delay = info?.retryDelay
  // Some send the message's own form.
  const seconds = isRecord(delay) ? Number(delay.seconds) : Number(/^(\d+(?:\.\d+)?)s$/.exec(String(delay))?.[1])
  return seconds >= 0 && seconds <= 86_400 ? Math.round(seconds * 1_000) : undefined
}
