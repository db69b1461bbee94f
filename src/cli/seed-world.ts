import world from './seed-world.json' with { type: 'json' }

/** The invented companies that a development database is filled with; the data itself is in seed-world.json. */
export interface SeedWorld {
  models: readonly SeedModel[]
  providers: readonly { name: string; type: string; catalog: string }[]
  aliases: readonly SeedAlias[]
  /** `team` is "organization/team"; neither it nor an organization means everywhere. */
  adminUsers: readonly { email: string; name: string; role: string; organization?: string; team?: string }[]
  organizations: readonly SeedOrganization[]
}

export interface SeedModel {
  name: string
  catalog: string
  mode?: string
  usdPerMillion: Readonly<Record<string, number>>
  firstOutputMs: number
  msPerToken: number
  reasons?: boolean
}

export interface SeedAlias {
  name: string
  description: string
  targets: readonly { provider: string; model: string; weight?: number; priority?: number }[]
}

export interface SeedScope {
  rateLimit?: { requestsPerMinute?: number; tokensPerMinute?: number; maxConcurrent?: number }
  /** `used` is the part of the current period's amount that the seeded usage has spent. */
  budget?: { period: string; mode: string; used: number }
}

export interface SeedOrganization extends SeedScope {
  slug: string
  name: string
  teams: readonly SeedTeam[]
}

export interface SeedTeam extends SeedScope {
  slug: string
  name: string
  keys: readonly SeedKey[]
}

export interface SeedKey extends SeedScope {
  name: string
  /** Its share of all calls, relative to the others. */
  weight: number
  shape: SeedShape
  operation?: string
  /** An alias or "provider/model" to its share of the key's calls. */
  targets: Readonly<Record<string, number>>
  /** Medians of a call. */
  inputTokens: number
  outputTokens: number
  env: string
}

export type SeedShape = 'always' | 'office' | 'night'

/** How many calls each hour of a day has (UTC), relative to the others. */
export const hoursOfShape: Readonly<Record<SeedShape, readonly number[]>> = {
  always: [3, 2, 2, 2, 2, 3, 4, 6, 8, 9, 10, 10, 9, 10, 10, 9, 9, 8, 8, 7, 6, 5, 4, 4],
  office: [0, 0, 0, 0, 0, 0, 1, 4, 9, 12, 12, 10, 7, 10, 12, 11, 8, 4, 1, 1, 0, 0, 0, 0],
  night: [12, 14, 14, 12, 8, 3, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 3, 6, 10],
}

// The JSON is ours and its targets differ from key to key, which the compiler takes for different types.
export const seedWorld = world as unknown as SeedWorld
