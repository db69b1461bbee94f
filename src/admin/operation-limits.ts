import { GraphQLError } from 'graphql'
import type { Clock } from '../core/clock.ts'
import { createMemoryLimiter } from '../core/limits/limiter.memory.ts'
import type { RateLimit } from '../core/limits/rate-limit.ts'
import { adminError } from './errors.ts'

/** How often somebody may ask, and how long an operation may take. Counted on each replica for itself. */
export interface OperationLimits {
  /**
   * @param asker - an account, or the address of a stranger
   * @throws GraphQLError RATE_LIMITED, with Retry-After
   */
  admit(asker: { viewerId: string } | { address: string }): Promise<void>
  /** @throws GraphQLError OPERATION_TIMEOUT when the work takes longer than an operation may */
  within<T>(work: Promise<T>): Promise<T>
}

const perMinute = { viewer: 1_200, stranger: 120 } as const
const operationMsMax = 10_000

export interface OperationLimitSettings {
  viewerPerMinute?: number
  strangerPerMinute?: number
  timeoutMs?: number
}

export function createOperationLimits(
  clock: Clock,
  {
    viewerPerMinute = perMinute.viewer,
    strangerPerMinute = perMinute.stranger,
    timeoutMs = operationMsMax,
  }: OperationLimitSettings = {},
): OperationLimits {
  const limiter = createMemoryLimiter({ clock })
  const limitOf = (scopeId: string, requestsPerMinute: number): RateLimit => ({
    scope: 'key',
    scopeId,
    requestsPerMinute,
    tokensPerMinute: undefined,
    maxConcurrent: undefined,
    algorithm: 'sliding_window',
    strict: false,
  })
  return {
    async admit(asker) {
      const limit =
        'viewerId' in asker ? limitOf(asker.viewerId, viewerPerMinute) : limitOf(asker.address, strangerPerMinute)
      const decision = await limiter.acquire({ requestId: '', organizationId: '', limits: [limit], tokens: 0 })
      if (decision.granted) return decision.hold.settle(0)
      const seconds = Math.ceil(('retryAfterMs' in decision ? (decision.retryAfterMs ?? 0) : 0) / 1_000) || 1
      throw new GraphQLError(`Too many operations. Try again in ${seconds} s.`, {
        extensions: {
          code: 'RATE_LIMITED',
          http: { status: 429, headers: new Map([['retry-after', String(seconds)]]) },
        },
      })
    },
    async within(work) {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(tooLong(timeoutMs)), timeoutMs)
      })
      try {
        return await Promise.race([work, late])
      } finally {
        clearTimeout(timer)
      }
    },
  }
}

const tooLong = (ms: number): GraphQLError =>
  adminError(
    'OPERATION_TIMEOUT',
    `The operation took longer than ${ms / 1_000} s and was given up. What it changes may have been changed all the same.`,
  )
