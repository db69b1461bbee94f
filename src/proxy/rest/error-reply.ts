import type { ServerResponse } from 'node:http'
import { type ErrorCode, GatewayError } from '../../core/errors.ts'
import { LimitRefusal } from '../../core/limits/limit-refusal.ts'
import type { Log } from '../../core/log.ts'
import { rateLimitHeaders } from '../rate-limit-headers.ts'

interface ReplyForm {
  status: number
  type: string
  /** `x-should-retry: false`: trying again cannot help. */
  noRetry?: true
  /** Sent when the error itself names no time, in milliseconds. */
  retryAfterMs?: number
}

/** How each error code looks over REST: complete, or it does not compile. */
export const replyByCode = {
  invalid_json: { status: 400, type: 'invalid_request_error' },
  invalid_body: { status: 400, type: 'invalid_request_error' },
  unsupported_parameter: { status: 400, type: 'invalid_request_error' },
  invalid_header: { status: 400, type: 'invalid_request_error' },
  invalid_api_key: { status: 401, type: 'authentication_error' },
  key_revoked: { status: 401, type: 'authentication_error' },
  key_expired: { status: 401, type: 'authentication_error' },
  model_not_allowed: { status: 403, type: 'permission_error' },
  ip_not_allowed: { status: 403, type: 'permission_error' },
  forbidden: { status: 403, type: 'permission_error' },
  model_not_found: { status: 404, type: 'invalid_request_error' },
  not_found: { status: 404, type: 'invalid_request_error' },
  request_timeout: { status: 408, type: 'invalid_request_error' },
  idempotency_in_progress: { status: 409, type: 'idempotency_error', retryAfterMs: 1_000 },
  idempotency_key_reused: { status: 409, type: 'idempotency_error', noRetry: true },
  idempotency_key_mismatch: { status: 422, type: 'idempotency_error', noRetry: true },
  request_too_large: { status: 413, type: 'invalid_request_error' },
  unsupported_media_type: { status: 415, type: 'invalid_request_error' },
  rate_limit_exceeded: { status: 429, type: 'rate_limit_error', retryAfterMs: 1_000 },
  tokens_rate_limit_exceeded: { status: 429, type: 'rate_limit_error', retryAfterMs: 1_000 },
  concurrency_limit_exceeded: { status: 429, type: 'rate_limit_error', retryAfterMs: 1_000 },
  provider_rate_limited: { status: 429, type: 'rate_limit_error' },
  budget_exceeded: { status: 429, type: 'insufficient_quota', noRetry: true },
  provider_error: { status: 502, type: 'upstream_error' },
  provider_auth_failed: { status: 502, type: 'upstream_error' },
  provider_bad_response: { status: 502, type: 'upstream_error' },
  provider_timeout: { status: 504, type: 'upstream_timeout' },
  limits_unavailable: { status: 503, type: 'service_unavailable', retryAfterMs: 1_000 },
  budget_unverifiable: { status: 503, type: 'service_unavailable', retryAfterMs: 5_000 },
  auth_unavailable: { status: 503, type: 'service_unavailable', retryAfterMs: 2_000 },
  overloaded: { status: 503, type: 'service_unavailable', retryAfterMs: 2_000 },
  usage_spool_full: { status: 503, type: 'service_unavailable', retryAfterMs: 10_000 },
  log_required_unavailable: { status: 503, type: 'service_unavailable', retryAfterMs: 10_000 },
  no_healthy_provider: { status: 503, type: 'service_unavailable', retryAfterMs: 5_000 },
  server_shutting_down: { status: 503, type: 'service_unavailable', retryAfterMs: 1_000 },
  client_closed_request: { status: 499, type: 'invalid_request_error' },
  internal_error: { status: 500, type: 'server_error' },
} satisfies Record<ErrorCode, ReplyForm>

/** OpenAI's word, as a code and as a type, for a limit that does not go away by waiting. */
const quotaCode = 'insufficient_quota'

export interface ErrorReply {
  status: number
  headers: Record<string, string>
  body: string
}

/** @param jitter - from 0 to 1; spreads callers that were told to come back over half the time more */
export function errorReply(error: GatewayError, requestId: string, jitter: number): ErrorReply {
  const form: ReplyForm = replyByCode[error.code]
  const headers: Record<string, string> = { 'content-type': 'application/json', 'x-request-id': requestId }
  const limits = error instanceof LimitRefusal ? error : undefined
  if (form.noRetry || error.providerCode === quotaCode || limits?.isFinal) headers['x-should-retry'] = 'false'
  const retryAfterMs = error.retryAfterMs ?? (limits?.isFinal ? undefined : jittered(form.retryAfterMs, jitter))
  if (retryAfterMs !== undefined) {
    headers['retry-after'] = String(Math.max(1, Math.ceil(retryAfterMs / 1_000)))
    headers['retry-after-ms'] = String(Math.round(retryAfterMs))
  }
  const told = rateLimitHeaders(limits?.limits)
  for (let at = 0; at < told.length; at += 2) headers[told[at] as string] = told[at + 1] as string
  return { status: form.status, headers, body: errorBody(error, requestId) }
}

/** Answers a request that came to nothing else; what was thrown by a bug of ours is logged. */
export function sendError(response: ServerResponse, thrown: unknown, requestId: string, log: Log): void {
  const error = GatewayError.from(thrown)
  if (error.code === 'internal_error') {
    log.error({ err: error.cause, request_id: requestId }, 'A request failed inside.')
  }
  if (response.destroyed) return
  // What is left of a body that is too large is not waited for.
  if (error.code === 'request_too_large') response.setHeader('connection', 'close')
  sendReply(response, errorReply(error, requestId, Math.random()))
}

export function sendReply(response: ServerResponse, { status, headers, body }: ErrorReply): void {
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) })
  response.end(body)
}

/** OpenAI's error envelope, and our request id in it. */
export function errorBody(error: GatewayError, requestId: string): string {
  const type = error.providerCode === quotaCode ? quotaCode : replyByCode[error.code].type
  return JSON.stringify({
    error: {
      message: error.message,
      type,
      param: error.param ?? null,
      code: error.providerCode ?? error.code,
      request_id: requestId,
    },
  })
}

function jittered(baseMs: number | undefined, jitter: number): number | undefined {
  return baseMs === undefined ? undefined : baseMs * (1 + jitter / 2)
}
