import type { Pool, PoolClient } from 'pg'

/** Whether anybody who may sign in administers the whole gateway. */
export async function hasAdministrator(database: Pool | PoolClient): Promise<boolean> {
  const { rows } = await database.query<{ found: boolean }>(
    `select exists (
       select from role_bindings b join admin_users u on u.id = b.admin_user_id
       where b.role = 'admin' and b.organization_id is null and b.team_id is null and u.disabled_at is null) as found`,
  )
  return rows[0]?.found === true
}

/** Until the transaction ends: two firsts at once would both find nobody, and two lasts each leave the other. */
export const lockAdministrators = (client: PoolClient): Promise<unknown> =>
  client.query('select pg_advisory_xact_lock(hashtext($1))', ['llmgw administrators'])
