import type { VisibleTenants } from '../../core/access/principal.ts'
import type { BudgetStore, PlacedBudget } from '../../core/budgets/budgets.store.ts'
import type { Log } from '../../core/log.ts'
import type { Mailbox } from './mailbox.ts'
import { Subscribers } from './subscribers.ts'

/** Budgets whenever they stand otherwise than before: one look an interval for all who may see the same. */
export interface BudgetFeed {
  /** @param budgetId - undefined is all that may be seen, of which the first thousand are watched */
  subscribe(visible: VisibleTenants, budgetId: string | undefined, slow: { tooSlow(): void }): Mailbox<PlacedBudget>
  close(): void
}

export interface BudgetFeedDeps {
  budgets: Pick<BudgetStore, 'page' | 'byId'>
  log: Log
  pollMs?: number
}

interface Watch {
  subscribers: Subscribers<PlacedBudget, undefined>
  timer: NodeJS.Timeout
}

const budgetsMax = 1_000

export function createBudgetFeed({ budgets, log, pollMs = 2_000 }: BudgetFeedDeps): BudgetFeed {
  const watches = new Map<string, Watch>()

  const open = (name: string, read: () => Promise<PlacedBudget[]>): Watch => {
    let before: ReadonlyMap<string, string> | undefined
    let isLooking = false
    const look = async (): Promise<void> => {
      if (isLooking) return
      isLooking = true
      try {
        const rows = await read()
        const now = new Map(rows.map((row) => [row.id, standingText(row)]))
        const known = before
        before = now
        if (known) {
          const changed = rows.filter(({ id }) => known.get(id) !== now.get(id))
          watch.subscribers.tell(() => changed)
        }
      } catch (error) {
        log.warn({ err: error }, 'Budgets could not be read for those who watch; tried again.')
      } finally {
        isLooking = false
      }
    }
    const watch: Watch = {
      subscribers: new Subscribers((count) => {
        if (count > 0) return
        clearInterval(watch.timer)
        watches.delete(name)
      }),
      timer: setInterval(() => void look(), pollMs),
    }
    watch.timer.unref()
    watches.set(name, watch)
    void look()
    return watch
  }

  return {
    subscribe(visible, budgetId, slow) {
      const name = JSON.stringify([visible, budgetId])
      const read = (): Promise<PlacedBudget[]> =>
        budgetId === undefined
          ? budgets.page({ visible, after: undefined, limit: budgetsMax })
          : budgets.byId([budgetId])
      const watch = watches.get(name) ?? open(name, read)
      return watch.subscribers.add(undefined, slow)
    },
    close() {
      for (const { subscribers } of [...watches.values()]) subscribers.close()
    },
  }
}

const standingText = (budget: PlacedBudget): string =>
  JSON.stringify(budget, (_name, value) => (typeof value === 'bigint' ? value.toString() : value))
