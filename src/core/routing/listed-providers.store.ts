import type { Pool } from 'pg'

/** A provider as the database has it, for people: of its secrets only what tells them apart. */
export interface ListedProvider {
  name: string
  type: string
  managedBy: 'builtin' | 'environment' | 'file' | 'admin'
  enabled: boolean
  baseUrl: string | null
  settings: Readonly<Record<string, unknown>>
  /** Stored in the database; those that are declared outside are named by `settings.credentialFields`. */
  credentials: readonly { field: string; origin: string; last4: string | null }[]
}

export async function listProviders(pool: Pool): Promise<ListedProvider[]> {
  const { rows } = await pool.query<ListedProvider>(
    `select p.name, p.type, p.managed_by as "managedBy", p.enabled, p.base_url as "baseUrl", p.settings,
       (
         select coalesce(
           jsonb_agg(jsonb_build_object('field', c.field, 'origin', c.origin, 'last4', c.last4) order by c.field), '[]')
         from provider_credentials c where c.provider_id = p.id
       ) as credentials
     from providers p order by p.name`,
  )
  return rows
}
