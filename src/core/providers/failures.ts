import { type ErrorCode, GatewayError, type GatewayErrorOptions } from '../errors.ts'
import { AddressRefusedError } from '../upstream/address-guard.ts'
import type { ExchangeFailure } from './provider.ts'

export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>

/** A provider's message is passed on up to here. */
const messageBytesMax = 2 * 1024
/** A provider that tells us to come back in days is not obeyed. */
const retryAfterMsMax = 24 * 60 * 60 * 1_000

/** @param what - what came instead of an answer, to be read after "The provider's answer is unusable: " */
export function malformedFailure(what: string): ExchangeFailure {
  return {
    error: new GatewayError('provider_bad_response', `The provider's answer is unusable: ${what}.`),
    kind: 'malformed',
    billing: 'maybe_billed',
    retryable: true,
    retryAfterMs: undefined,
  }
}

/** The body ended, or broke off, before the answer did. */
export function cutFailure(cause?: unknown): ExchangeFailure {
  return {
    error: new GatewayError('provider_bad_response', 'The provider broke off its answer.', { cause }),
    kind: 'cut',
    billing: 'maybe_billed',
    retryable: true,
    retryAfterMs: undefined,
  }
}

/** @param sent - the whole request had left us, so the provider may have worked on it */
export function connectionFailure(error: Error, sent: boolean): ExchangeFailure {
  const cause = error
  if (error instanceof AddressRefusedError) {
    const message = 'The gateway may not connect to the address of this provider.'
    return { ...notSent, kind: 'refused', error: new GatewayError('provider_error', message, { cause }) }
  }
  const code = 'code' in error ? error.code : undefined
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
    return {
      error: new GatewayError('provider_timeout', 'The provider was silent for too long.', { cause }),
      kind: 'timeout',
      billing: sent ? 'maybe_billed' : 'not_sent',
      retryable: true,
      retryAfterMs: undefined,
    }
  }
  if (sent) return cutFailure(cause)
  const message = 'The provider could not be reached.'
  return { ...notSent, kind: 'connect', error: new GatewayError('provider_error', message, { cause }) }
}

const notSent = { billing: 'not_sent', retryable: true, retryAfterMs: undefined } as const

/** The fields of an error object that a caller may see, cleaned; undefined where the provider gave none. */
export interface ErrorWords {
  message: string | undefined
  type: string | undefined
  param: string | undefined
  code: string | undefined
  /** An HTTP status the object itself names. */
  status: number | undefined
}

/**
 * What an error means to the caller, and whether another target may do better.
 *
 * @param status - HTTP's, or the one that a provider's own word for the error stands for
 * @param words - cleaned by `cleaned`
 */
export function failureOfStatus(
  status: number,
  words: ErrorWords,
  retryAfterMs: number | undefined,
  kind: 'status' | 'in-stream',
): ExchangeFailure {
  const { code, says, billing, retryable } = verdictOn(status, words)
  const passed = says === 'provider'
  const options: GatewayErrorOptions = {
    param: passed ? words.param : undefined,
    providerCode: passed ? shownCode(status, words) : undefined,
    retryAfterMs: retryable ? retryAfterMs : undefined,
  }
  return {
    error: new GatewayError(code, (passed ? words.message : says) ?? `The provider refused: HTTP ${status}.`, options),
    kind,
    billing: kind === 'in-stream' ? 'maybe_billed' : billing,
    retryable,
    retryAfterMs: options.retryAfterMs,
  }
}

interface Verdict {
  code: ErrorCode
  /** `provider`: its own words, which help the caller; else ours, as what it says concerns nobody but the operator. */
  says: 'provider' | (string & {})
  billing: 'not_billed' | 'maybe_billed'
  retryable: boolean
}

function verdictOn(status: number, words: ErrorWords): Verdict {
  switch (status) {
    case 400:
    case 422:
      return isAboutOurKey(words) ? refusedCredential : { ...refusedRequest, code: 'invalid_body' }
    case 401:
    case 402:
    case 403:
      return refusedCredential
    case 404:
      return { ...refusedRequest, code: 'model_not_found' }
    case 413:
      return { ...refusedRequest, code: 'request_too_large' }
    case 408:
    case 504:
    case 524: // Cloudflare: the origin did not answer in time
      return {
        code: 'provider_timeout',
        says: `The provider did not answer in time: HTTP ${status}.`,
        billing: 'maybe_billed',
        retryable: true,
      }
    case 409:
      return { code: 'provider_error', says: 'provider', billing: 'not_billed', retryable: true }
    case 429:
      return { code: 'provider_rate_limited', says: 'provider', billing: 'not_billed', retryable: true }
    default:
      return {
        code: status < 300 ? 'provider_bad_response' : 'provider_error',
        says: `The provider failed: HTTP ${status}.`,
        billing: status >= 300 && status < 500 ? 'not_billed' : 'maybe_billed',
        retryable: true,
      }
  }
}

const refusedRequest = { says: 'provider', billing: 'not_billed', retryable: false } as const

const refusedCredential: Verdict = {
  code: 'provider_auth_failed',
  says: "The provider refused the gateway's credential. The operator of the gateway has to look at it.",
  billing: 'not_billed',
  retryable: true,
}

/** xAI and Google answer 400 to a wrong key; the caller, whose key is ours to check, could make nothing of it. */
function isAboutOurKey({ code, message }: ErrorWords): boolean {
  return code === 'invalid_api_key' || /\b(?:incorrect|invalid) api key|\bapi key not valid/i.test(message ?? '')
}

/**
 * The code that clients of OpenAI match on. A 429 keeps ours, which says whose limit was hit, unless it is
 * OpenAI's word for one that does not go away by waiting.
 */
function shownCode(status: number, { code, type, message }: ErrorWords): string | undefined {
  if (status === 429)
    return code === 'insufficient_quota' || type === 'insufficient_quota' ? 'insufficient_quota' : undefined
  // Azure's word for a model that is not there.
  if (code === 'DeploymentNotFound') return undefined
  const isWord = code !== undefined && !/^\d+$/.test(code)
  // vLLM and others send `400` here; agents shorten their history when they see this code.
  if (!isWord && status === 400 && /maximum context length|context_length_exceeded/i.test(message ?? '')) {
    return 'context_length_exceeded'
  }
  return code
}

/**
 * Text of a provider as a caller may see it: without control characters, without the credential in use, at most 2 KiB.
 *
 * @returns undefined unless it is a string with something in it
 */
export function cleaned(value: unknown, credential: string | undefined): string | undefined {
  if (typeof value !== 'string') return undefined
  // Redacted before it is cut: half a credential would not be found.
  const text = value.replace(/\p{Cc}+/gu, ' ')
  const redacted = (credential ? text.replaceAll(credential, '[redacted]') : text).trim()
  if (redacted === '') return undefined
  return Buffer.byteLength(redacted) <= messageBytesMax ? redacted.toWellFormed() : cutAt(redacted, messageBytesMax)
}

function cutAt(text: string, bytesMax: number): string {
  const bytes = Buffer.from(text)
  let end = bytesMax
  while (((bytes[end] as number) & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}

/** `retry-after-ms`, else `retry-after` in seconds or as a date by the provider's own clock. */
export function retryAfterMsFrom(headers: ResponseHeaders): number | undefined {
  const given = (name: string): string | undefined => {
    const value = headers[name]
    return (Array.isArray(value) ? value[0] : value)?.trim()
  }
  const inMs = given('retry-after-ms')
  const after = given('retry-after')
  let ms = Number.NaN
  if (inMs) ms = Number(inMs)
  else if (after && /^\d+(?:\.\d+)?$/.test(after)) ms = Number(after) * 1_000
  else if (after) ms = Math.max(0, Date.parse(after) - Date.parse(given('date') ?? ''))
  return ms >= 0 && ms <= retryAfterMsMax ? ms : undefined
}
