import { cleaned, failureOfStatus, type ResponseHeaders, retryAfterMsFrom } from '../failures.ts'
import { parsedJson, recordOr } from '../json.ts'
import type { ExchangeFailure } from '../provider.ts'

/**
 * What an error answer of Anthropic means: `{ type: 'error', error: { type, message } }`, if it is that at all.
 *
 * https://platform.claude.com/docs/en/api/errors
 *
 * @param body - its beginning at least
 * @param credential - replaced wherever it is echoed
 */
export function readAnthropicError(
  status: number,
  headers: ResponseHeaders,
  body: Buffer,
  credential: string | undefined,
): ExchangeFailure {
  const { error } = recordOr(parsedJson(body.toString('utf8')))
  return failure(status, error, retryAfterMsFrom(headers), 'status', credential)
}

/** The `error` event of a stream with status 200. */
export function anthropicStreamFailure(error: unknown, credential: string | undefined): ExchangeFailure {
  return failure(statusByType[String(recordOr(error).type)] ?? 500, error, undefined, 'in-stream', credential)
}

const statusByType: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  rate_limit_error: 429,
  api_error: 500,
  timeout_error: 504,
  overloaded_error: 529,
}

function failure(
  status: number,
  error: unknown,
  retryAfterMs: number | undefined,
  kind: 'status' | 'in-stream',
  credential: string | undefined,
): ExchangeFailure {
  const message = cleaned(recordOr(error).message, credential)
  const isTooLong = /^prompt is too long|exceed context limit/i.test(message ?? '')
  // An account without money is told with 400: the caller could make nothing of that.
  const isUnpaid = /credit balance is too low/i.test(message ?? '')
  const words = {
    message,
    type: undefined,
    param: undefined,
    code: isTooLong ? 'context_length_exceeded' : undefined,
    status: undefined,
  }
  return failureOfStatus(isUnpaid ? 402 : status, words, retryAfterMs, kind)
}
