import type { Pool } from 'pg'
import type { ProviderType } from '../providers/provider.ts'

/** A provider as the database has it, for people: of its secrets only what tells them apart. */
export interface ListedProvider {
  id: string
  name: string
  type: ProviderType
  managedBy: 'builtin' | 'environment' | 'file' | 'admin'
  enabled: boolean
  baseUrl: string | null
  passthroughModels: boolean
  settings: Readonly<Record<string, unknown>>
  /** Stored in the database; those that are declared outside are named by `settings.credentialFields`. */
  credentials: readonly { field: string; origin: string; last4: string | null }[]
}

const selectProviders = `
  select p.id, p.name, p.type, p.managed_by as "managedBy", p.enabled, p.base_url as "baseUrl",
    p.passthrough_models as "passthroughModels", p.settings, (
      select coalesce(
        jsonb_agg(jsonb_build_object('field', c.field, 'origin', c.origin, 'last4', c.last4) order by c.field), '[]')
      from provider_credentials c where c.provider_id = p.id
    ) as credentials
  from providers p`

/** By name. @param after - the name that the page before ended with */
export async function listProviders(
  pool: Pool,
  { after, limit }: { after?: string | undefined; limit?: number } = {},
): Promise<ListedProvider[]> {
  const { rows } = await pool.query<ListedProvider>(
    `${selectProviders} where ($1::text is null or p.name > $1) order by p.name limit $2`,
    [after ?? null, limit ?? null],
  )
  return rows
}

export async function providersById(pool: Pool, ids: readonly string[]): Promise<ListedProvider[]> {
  const { rows } = await pool.query<ListedProvider>(`${selectProviders} where p.id = any ($1)`, [ids])
  return rows
}

export async function providersByName(pool: Pool, names: readonly string[]): Promise<ListedProvider[]> {
  const { rows } = await pool.query<ListedProvider>(`${selectProviders} where p.name = any ($1)`, [names])
  return rows
}
