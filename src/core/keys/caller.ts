import type { Budget } from '../budgets/budget.ts'
import type { RateLimit } from '../limits/rate-limit.ts'

/** Who is calling: what a live key says, as the request path needs it. Immutable and shared between calls. */
export interface Caller {
  readonly keyId: string
  readonly keyName: string
  readonly organizationId: string
  readonly teamId: string | null
  /** Patterns such as `smart`, `openai/*`; undefined allows every model. */
  readonly allowedModels: readonly string[] | undefined
  /** Milliseconds since the epoch, database time; undefined never expires. */
  readonly expiresAtMs: number | undefined
  /** What to do with a model whose price is unknown; undefined follows the gateway's setting. */
  readonly unpricedPolicy: UnpricedPolicy | undefined
  readonly tags: Readonly<Record<string, string>>
  /** Of the key, its team and its organization, as far as they have any. All of them hold. */
  readonly rateLimits: readonly RateLimit[]
  /** Of the key, its team, its organization and its tags. Every call counts against all of them. */
  readonly budgets: readonly Budget[]
}

/** Whose money a call takes, and whose usage it is: the caller, or the billing key of the alias that was called. */
export type Payer = Pick<Caller, 'keyId' | 'keyName' | 'organizationId' | 'teamId' | 'tags' | 'budgets'>

/** A model without a price is unknown, not free: refuse it, charge an estimate, or let it pass and mark the row. */
export type UnpricedPolicy = 'block' | 'estimate' | 'allow'
