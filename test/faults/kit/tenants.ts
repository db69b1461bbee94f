import type pg from 'pg'
import { createDatabaseClock } from '../../../src/core/clock.ts'
import { createUuidV7Source } from '../../../src/core/ids.ts'
import { createKeyDigester } from '../../../src/core/keys/key-digest.ts'
import { createKeyStore } from '../../../src/core/keys/keys.store.ts'
import { createKeys } from '../../../src/core/keys/keys.ts'

/** An organization with a team and a key of its own, so that tests do not get into each other's way. */
export interface Tenant {
  organizationId: string
  teamId: string
  keyId: string
  secret: string
  /** In the order in which they were asked for. */
  budgetIds: readonly string[]
}

export type TenantScope = 'key' | 'team' | 'organization'

export interface TenantDraft {
  budgets?: readonly { scope: TenantScope; amountNano: bigint; mode?: 'hard' | 'soft'; period?: string }[]
  rateLimits?: readonly {
    scope: TenantScope
    requestsPerMinute?: number
    maxConcurrent?: number
    strict?: boolean
  }[]
  /** Another key of the team of this tenant, rather than one of a new team. */
  beside?: Tenant
}

/** Hard budgets that refuse nothing in any test, and of which there are leases all the time nevertheless. */
export const wideBudgets: NonNullable<TenantDraft['budgets']> = [
  { scope: 'key', amountNano: 1_000_000_000_000n },
  { scope: 'organization', amountNano: 2_000_000_000_000n, period: 'month' },
]

export interface Tenants {
  /** No replica has heard of the key before, so what it is given is in force with its first call. */
  create(draft?: TenantDraft): Promise<Tenant>
}

export function createTenants(pool: pg.Pool, pepper: Buffer): Tenants {
  const newId = createUuidV7Source()
  const id = (): string => newId(Date.now())
  const clock = createDatabaseClock()
  const digester = createKeyDigester([pepper])
  const keys = createKeys({ store: createKeyStore(pool), digester, clock, newId, changed: () => {} })
  let made = 0

  const makeTeam = async (): Promise<{ organizationId: string; teamId: string }> => {
    const organizationId = id()
    const teamId = id()
    await pool.query('insert into organizations (id, slug, name) values ($1, $2, $2)', [
      organizationId,
      `organization-${made}`,
    ])
    await pool.query('insert into teams (id, organization_id, slug, name) values ($1, $2, $3, $3)', [
      teamId,
      organizationId,
      'team',
    ])
    return { organizationId, teamId }
  }

  return {
    async create({ budgets = [], rateLimits = [], beside } = {}) {
      made++
      const { organizationId, teamId } = beside ?? (await makeTeam())
      const draft = { name: `key-${made}`, organization: { id: organizationId }, team: { id: teamId } }
      const created = await keys.create(draft, { kind: 'operator', id: undefined })
      if (!created.ok) throw new Error(created.refusals.map(({ message }) => message).join(' '))
      const keyId = created.key.id
      const owners = {
        key: [keyId, null, null],
        team: [null, teamId, null],
        organization: [null, null, organizationId],
      }
      const budgetIds: string[] = []
      for (const { scope, amountNano, mode = 'hard', period = 'total' } of budgets) {
        const budgetId = id()
        budgetIds.push(budgetId)
        await pool.query(
          `insert into budgets (id, api_key_id, team_id, organization_id, amount_nano, period, mode, managed_by)
           values ($1, $2, $3, $4, $5, $6, $7, 'operator')`,
          [budgetId, ...owners[scope], amountNano.toString(), period, mode],
        )
      }
      for (const { scope, requestsPerMinute, maxConcurrent, strict } of rateLimits) {
        await pool.query(
          `insert into rate_limits (id, api_key_id, team_id, organization_id, requests_per_minute, max_concurrent, strict)
           values ($1, $2, $3, $4, $5, $6, $7)`,
          [id(), ...owners[scope], requestsPerMinute ?? null, maxConcurrent ?? null, strict ?? false],
        )
      }
      return { organizationId, teamId, keyId, secret: created.secret, budgetIds }
    },
  }
}
