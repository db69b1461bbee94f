import type { BudgetMode, BudgetPeriod } from '../budgets/budget.ts'
import type { UnpricedPolicy } from '../keys/caller.ts'
import type { LimitAlgorithm } from '../limits/rate-limit.ts'
import type { NanoUsd } from '../money.ts'
import type { StoredRateTable } from '../pricing/price.ts'
import type { ProviderType } from '../providers/provider.ts'
import type { Secret } from '../secret.ts'

/**
 * What an operator declares outside the database, in the config file and the environment: the whole of it, already
 * validated, names resolved against each other. Immutable.
 */
export interface DeclaredConfiguration {
  readonly providers: readonly DeclaredProvider[]
  readonly models: readonly DeclaredModel[]
  readonly aliases: readonly DeclaredAlias[]
  readonly keys: readonly DeclaredKey[]
  /** No two with the same owner, period and time zone. */
  readonly budgets: readonly DeclaredScopeBudget[]
  /** No two with the same owner. */
  readonly rateLimits: readonly DeclaredScopeLimits[]
}

/** Where a declaration stands; the database marks what it wrote with it, and admins cannot edit it. */
export type DeclaredBy = 'file' | 'environment' | 'builtin'

export interface DeclaredProvider {
  readonly name: string
  readonly managedBy: DeclaredBy
  readonly enabled: boolean
  readonly passthroughModels: boolean
  readonly timeouts: { readonly firstByteMs: number; readonly idleMs: number; readonly totalMs: number }
  readonly type: ProviderType
  /** Without a slash at the end; null where the type has none, or makes it of its settings. */
  readonly baseUrl: string | null
  /** What the type knows beside that, as JSON; nothing secret. */
  readonly settings: Readonly<Record<string, unknown>>
  /** By field, such as `apiKey`; see `credentials.ts` for constant headers. */
  readonly credentials: Readonly<Record<string, Secret>>
}

/** What the catalog lacks or gets wrong about one model of one provider. */
export interface DeclaredModel {
  readonly provider: string
  readonly name: string
  readonly mode: DeclaredModelMode
  readonly contextWindowTokens: number | undefined
  readonly maxOutputTokens: number | undefined
  /** Undefined leaves the price to the catalog. */
  readonly rateTables: readonly StoredRateTable[] | undefined
}

export const declaredModelModes = ['chat', 'embedding'] as const
export type DeclaredModelMode = (typeof declaredModelModes)[number]

export interface DeclaredAlias {
  readonly name: string
  readonly description: string | undefined
  /** No two with the same provider and model. */
  readonly targets: readonly DeclaredTarget[]
  readonly settings: AliasSettings
  /** Name of the key that pays for its calls; undefined is whoever makes them. */
  readonly billingKey: string | undefined
}

/** What becomes of requests for an alias, as JSON. */
export interface RequestShaping {
  /** Members of the request that hold where the client names none. */
  readonly parameters?: Readonly<Record<string, unknown>> | undefined
  /** The most that numbers in the request may be. */
  readonly caps?: Readonly<Record<string, number>> | undefined
}

export interface AliasSettings extends RequestShaping {
  /** What calls have in common that are to get the same target: `user`, or `header:` and the name of a header. */
  readonly sticky?: string | undefined
}

export interface DeclaredTarget {
  readonly provider: string
  readonly model: string
  readonly weight: number
  readonly priority: number
  /** Undefined is as near to one replica as to another. */
  readonly region?: string | undefined
}

export interface DeclaredKey {
  readonly name: string
  /** Undefined: the gateway makes one when it first sees the key. No two keys have the same. */
  readonly secret: Secret | undefined
  readonly description: string | undefined
  /** Slugs; undefined means the default organization, and no team. A team needs an organization. */
  readonly organization: string | undefined
  readonly team: string | undefined
  readonly enabled: boolean
  /** Undefined allows every model. */
  readonly allowedModels: readonly string[] | undefined
  readonly unpricedPolicy: UnpricedPolicy | undefined
  readonly expiresAtMs: number | undefined
  readonly rateLimits: DeclaredRateLimits | undefined
  /** No two with the same period and time zone. */
  readonly budgets: readonly DeclaredBudget[]
  readonly tags: Readonly<Record<string, string>>
  readonly metadata: Readonly<Record<string, unknown>>
}

export interface DeclaredRateLimits {
  readonly requestsPerMinute: number | undefined
  readonly tokensPerMinute: number | undefined
  readonly maxConcurrent: number | undefined
  readonly algorithm: LimitAlgorithm
  /** Refuse, rather than count locally, while the shared counters are away. */
  readonly strict: boolean
}

export interface DeclaredBudget {
  readonly amountNano: NanoUsd
  readonly period: BudgetPeriod
  readonly timeZone: string
  readonly mode: BudgetMode
  readonly alertThresholdsPercent: readonly number[]
  /** It may well be over. */
  readonly temporaryIncrease: { readonly amountNano: NanoUsd; readonly untilMs: number } | undefined
}

/**
 * A budget that is not one key's: of an organization, of a team in one, or of all keys with a tag, in an organization or
 * anywhere. Slugs; a team needs an organization and excludes a tag.
 */
export interface DeclaredScopeBudget extends DeclaredBudget {
  readonly organization: string | undefined
  readonly team: string | undefined
  readonly tag: { readonly name: string; readonly value: string } | undefined
}

/** Of an organization, or of a team in it; at least one of the numbers is there. */
export interface DeclaredScopeLimits extends DeclaredRateLimits {
  readonly organization: string
  readonly team: string | undefined
}
