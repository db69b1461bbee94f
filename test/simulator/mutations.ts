import type pg from 'pg'
import type { LeaseBook } from '../../src/core/budgets/lease-book.ts'
import type { OrphanStore } from '../../src/core/usage/orphans.store.ts'
import type { UsageStore } from '../../src/core/usage/usage.store.ts'
import type { UsageEnd } from '../../src/core/usage/usage-record.ts'

/** A bug to put into what is simulated; what is not named is as it should be. */
export interface Mutation {
  leases(book: LeaseBook): LeaseBook
  usage(store: UsageStore, pool: pg.Pool): UsageStore
  orphans(store: OrphanStore): OrphanStore
}

export const noMutation: Mutation = { leases: (book) => book, usage: (store) => store, orphans: (store) => store }

/** What the simulator has to notice, each within a few seeds. */
export const mutations: Readonly<Record<string, Mutation>> = {
  'a lease book that forgets what calls have reserved': {
    ...noMutation,
    leases: (book) => ({
      ...book,
      reserve(budgets, amountNano) {
        const forget = <T extends { settle(costNano: bigint): void }>(reservation: T): T => {
          reservation.settle(0n)
          return reservation
        }
        const reservation = book.reserve(budgets, amountNano)
        return reservation instanceof Promise ? reservation.then(forget) : forget(reservation)
      },
    }),
  },
  'a settlement that does not know its own rows again': {
    ...noMutation,
    usage: (store) => ({
      async apply(records) {
        const ends = JSON.parse(records.toString('utf8')) as UsageEnd[]
        const later = (end: UsageEnd): UsageEnd => ({
          ...end,
          reserved_at: new Date(Date.parse(end.reserved_at) + 1).toISOString(),
        })
        const applied = await store.apply(records)
        await store.apply(Buffer.from(JSON.stringify(ends.map(later))))
        return applied
      },
    }),
  },
  'a settlement that leaves the money in the lease': {
    ...noMutation,
    usage: (store) => ({
      apply(records) {
        const ends = JSON.parse(records.toString('utf8')) as UsageEnd[]
        const unleased = ends.map((end) => ({ ...end, budget_lease_ids: end.budget_lease_ids.map(() => null) }))
        return store.apply(Buffer.from(JSON.stringify(unleased)))
      },
    }),
  },
  'a settlement into the period in which a call ends': {
    ...noMutation,
    usage: (store, pool) => ({
      async apply(records) {
        const ends = JSON.parse(records.toString('utf8')) as UsageEnd[]
        for (const end of ends) {
          const { rows } = await pool.query<{ id: string }>(
            `select coalesce(later.id, p.id) as id
             from unnest($1::uuid[]) with ordinality as counted (id, place)
             join budget_periods p on p.id = counted.id
             left join budget_periods later on later.budget_id = p.budget_id and later.period_start = p.period_end
               and later.period_start <= $2
             order by counted.place`,
            [end.budget_period_ids, end.ended_at],
          )
          end.budget_period_ids = rows.map(({ id }) => id)
        }
        return store.apply(Buffer.from(JSON.stringify(ends)))
      },
    }),
  },
  'a sweeper that returns leases before it closes calls': {
    ...noMutation,
    orphans: (store) => ({
      ...store,
      async openCalls(replica, max) {
        await store.takeLeases(replica)
        return store.openCalls(replica, max)
      },
    }),
  },
  'a sweeper that forgets leases': {
    ...noMutation,
    orphans: (store) => ({ ...store, takeLeases: async () => ({ leases: 0, nano: 0n }) }),
  },
}
