import type { PoolClient } from 'pg'

/** All at once, since those who move money lock periods in the order of their ids. */
export async function removeBudgets(client: PoolClient, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return
  await client.query('select b.id from budgets b where b.id = any ($1) order by b.id for update', [ids])
  await client.query('select p.id from budget_periods p where p.budget_id = any ($1) order by p.id for update', [ids])
  await client.query('delete from budgets where id = any ($1)', [ids])
}
