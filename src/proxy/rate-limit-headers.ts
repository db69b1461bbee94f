import type { LimitLeft, LimitState } from '../core/limits/limiter.ts'

/**
 * What a caller is told of its limits, in OpenAI's words: names and values in turn, as `writeHead` takes them.
 *
 * @see https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
 */
export function rateLimitHeaders(limits: LimitState | undefined): string[] {
  if (!limits) return []
  const headers: string[] = []
  if (limits.requests) pushLeft(headers, 'requests', limits.requests)
  if (limits.tokens) pushLeft(headers, 'tokens', limits.tokens)
  if (limits.degraded) headers.push('x-gateway-degraded', 'redis')
  return headers
}

function pushLeft(headers: string[], kind: 'requests' | 'tokens', { limit, remaining, resetMs }: LimitLeft): void {
  headers.push(
    `x-ratelimit-limit-${kind}`,
    String(limit),
    `x-ratelimit-remaining-${kind}`,
    String(remaining),
    `x-ratelimit-reset-${kind}`,
    durationText(resetMs),
  )
}

/** As OpenAI writes durations: `20ms`, `1s`, `7.66s`, `6m0s`, `1h0m2.5s`. */
export function durationText(durationMs: number): string {
  const ms = Math.ceil(durationMs)
  if (ms < 1_000) return ms === 0 ? '0s' : `${ms}ms`
  const minutes = Math.floor(ms / 60_000)
  const seconds = `${(ms % 60_000) / 1_000}s`
  if (minutes === 0) return seconds
  const hours = Math.floor(minutes / 60)
  return hours === 0 ? `${minutes}m${seconds}` : `${hours}h${minutes % 60}m${seconds}`
}
