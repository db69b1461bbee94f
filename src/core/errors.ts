/**
 * The closed list of what can go wrong for a caller. Each door has one table over it (REST: error-reply.ts), and the
 * compiler checks that the table is complete. The names are contract: clients and dashboards match on them.
 */
export const errorCodes = [
  'invalid_json',
  'invalid_body',
  'unsupported_parameter',
  'invalid_header',
  'invalid_api_key',
  'key_revoked',
  'key_expired',
  'model_not_allowed',
  'ip_not_allowed',
  'forbidden',
  'model_not_found',
  'not_found',
  'request_timeout',
  'idempotency_in_progress',
  'idempotency_key_reused',
  'idempotency_key_mismatch',
  'request_too_large',
  'unsupported_media_type',
  'rate_limit_exceeded',
  'tokens_rate_limit_exceeded',
  'concurrency_limit_exceeded',
  'provider_rate_limited',
  'budget_exceeded',
  'provider_error',
  'provider_auth_failed',
  'provider_bad_response',
  'provider_timeout',
  'limits_unavailable',
  'budget_unverifiable',
  'auth_unavailable',
  'overloaded',
  'usage_spool_full',
  'log_required_unavailable',
  'no_healthy_provider',
  'server_shutting_down',
  'client_closed_request',
  'internal_error',
] as const

export type ErrorCode = (typeof errorCodes)[number]

export interface GatewayErrorOptions {
  /** The request field at fault, as a path such as `messages[0].role`. */
  param?: string | undefined
  /** When trying again makes sense, in milliseconds from now. */
  retryAfterMs?: number | undefined
  /** The provider's own error code, shown to the client instead of ours where it is OpenAI's vocabulary. */
  providerCode?: string | undefined
  cause?: unknown
}

/** The one error that crosses module boundaries. The message is shown to the client: no secrets, no prompts. */
export class GatewayError extends Error {
  readonly code: ErrorCode
  readonly param: string | undefined
  readonly retryAfterMs: number | undefined
  readonly providerCode: string | undefined

  constructor(code: ErrorCode, message: string, options: GatewayErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'GatewayError'
    this.code = code
    this.param = options.param
    this.retryAfterMs = options.retryAfterMs
    this.providerCode = options.providerCode
  }

  /** Anything thrown becomes a GatewayError; what we did not foresee becomes `internal_error`, its cause kept for the log. */
  static from(thrown: unknown): GatewayError {
    if (thrown instanceof GatewayError) return thrown
    return new GatewayError('internal_error', 'The gateway failed to handle this request.', { cause: thrown })
  }
}

/** Closes a switch over a union; reaching it is a bug. */
export function unreachable(value: never): never {
  throw new Error(`Unreachable case: ${String(value)}`)
}
