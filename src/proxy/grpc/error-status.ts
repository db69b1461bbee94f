import { Metadata, type StatusObject, status } from '@grpc/grpc-js'
import { type ErrorCode, GatewayError } from '../../core/errors.ts'
import { LimitRefusal } from '../../core/limits/limit-refusal.ts'
import { rateLimitHeaders } from '../rate-limit-headers.ts'
import { encodeStatus } from './status-details.ts'

interface StatusForm {
  code: status
  /** Told when the error itself names no time, in milliseconds. */
  retryAfterMs?: number
  /** Trying again cannot help. */
  noRetry?: true
}

/** How each error code looks over gRPC: complete, or it does not compile. */
export const statusByCode = {
  invalid_json: { code: status.INVALID_ARGUMENT },
  invalid_body: { code: status.INVALID_ARGUMENT },
  unsupported_parameter: { code: status.INVALID_ARGUMENT },
  invalid_header: { code: status.INVALID_ARGUMENT },
  invalid_api_key: { code: status.UNAUTHENTICATED },
  key_revoked: { code: status.UNAUTHENTICATED },
  key_expired: { code: status.UNAUTHENTICATED },
  model_not_allowed: { code: status.PERMISSION_DENIED },
  ip_not_allowed: { code: status.PERMISSION_DENIED },
  forbidden: { code: status.PERMISSION_DENIED },
  model_not_found: { code: status.NOT_FOUND },
  not_found: { code: status.NOT_FOUND },
  request_timeout: { code: status.DEADLINE_EXCEEDED },
  idempotency_in_progress: { code: status.ABORTED, retryAfterMs: 1_000 },
  idempotency_key_reused: { code: status.ABORTED, noRetry: true },
  idempotency_key_mismatch: { code: status.FAILED_PRECONDITION, noRetry: true },
  request_too_large: { code: status.RESOURCE_EXHAUSTED, noRetry: true },
  unsupported_media_type: { code: status.INVALID_ARGUMENT },
  rate_limit_exceeded: { code: status.RESOURCE_EXHAUSTED, retryAfterMs: 1_000 },
  tokens_rate_limit_exceeded: { code: status.RESOURCE_EXHAUSTED, retryAfterMs: 1_000 },
  concurrency_limit_exceeded: { code: status.RESOURCE_EXHAUSTED, retryAfterMs: 1_000 },
  provider_rate_limited: { code: status.RESOURCE_EXHAUSTED },
  budget_exceeded: { code: status.RESOURCE_EXHAUSTED, noRetry: true },
  provider_error: { code: status.UNAVAILABLE },
  // Neither goes away by trying again.
  provider_auth_failed: { code: status.INTERNAL, noRetry: true },
  provider_bad_response: { code: status.INTERNAL },
  provider_timeout: { code: status.DEADLINE_EXCEEDED },
  limits_unavailable: { code: status.UNAVAILABLE, retryAfterMs: 1_000 },
  budget_unverifiable: { code: status.UNAVAILABLE, retryAfterMs: 5_000 },
  auth_unavailable: { code: status.UNAVAILABLE, retryAfterMs: 2_000 },
  overloaded: { code: status.UNAVAILABLE, retryAfterMs: 2_000 },
  usage_spool_full: { code: status.UNAVAILABLE, retryAfterMs: 10_000 },
  log_required_unavailable: { code: status.UNAVAILABLE, retryAfterMs: 10_000 },
  no_healthy_provider: { code: status.UNAVAILABLE, retryAfterMs: 5_000 },
  server_shutting_down: { code: status.UNAVAILABLE, retryAfterMs: 1_000 },
  client_closed_request: { code: status.CANCELLED },
  internal_error: { code: status.INTERNAL },
} satisfies Record<ErrorCode, StatusForm>

/** OpenAI's word for a limit that does not go away by waiting. */
const quotaCode = 'insufficient_quota'

/**
 * How a call ends that failed: the code, the sentence, and what a program wants to know in the trailing metadata.
 *
 * @param jitter - from 0 to 1; spreads callers that were told to come back over half the time more
 */
export function errorStatus(thrown: unknown, requestId: string, jitter: number): StatusObject {
  const error = GatewayError.from(thrown)
  const { code, noRetry, retryAfterMs }: StatusForm = statusByCode[error.code]
  const limits = error instanceof LimitRefusal ? error : undefined
  const isFinal = noRetry === true || limits?.isFinal === true || error.providerCode === quotaCode
  const ownMs = isFinal || retryAfterMs === undefined ? undefined : retryAfterMs * (1 + jitter / 2)
  const { message, param } = error
  const metadata = new Metadata()
  metadata.set('x-request-id', requestId)
  metadata.set(
    'grpc-status-details-bin',
    encodeStatus(code, message, {
      reason: error.code,
      providerCode: error.providerCode,
      requestId,
      retryAfterMs: error.retryAfterMs ?? ownMs,
      quota: error.code === 'budget_exceeded' ? { subject: 'budget', description: message } : undefined,
      field: param === undefined ? undefined : { path: param, description: message },
    }),
  )
  // Understood by grpc clients with a retry policy: they wait so long, or do not try again at all.
  if (isFinal) metadata.set('grpc-retry-pushback-ms', '-1')
  else if (error.retryAfterMs !== undefined) {
    metadata.set('grpc-retry-pushback-ms', String(Math.round(error.retryAfterMs)))
  }
  addRateLimits(metadata, limits?.limits)
  return { code, details: message, metadata }
}

/** What is left of the caller's limits, by the names it has over REST. */
export function addRateLimits(metadata: Metadata, limits: Parameters<typeof rateLimitHeaders>[0]): void {
  const told = rateLimitHeaders(limits)
  for (let at = 0; at < told.length; at += 2) metadata.set(told[at] as string, told[at + 1] as string)
}
