import type { Pool, PoolClient } from 'pg'
import { type AuditedChange, recordAudit } from '../access/audit-trail.store.ts'
import type { Clock } from '../clock.ts'
import { inTransaction } from '../db/transaction.ts'
import type { IdSource } from '../ids.ts'
import type { Actor } from '../keys/keys.ts'
import type { Refused } from '../refusal.ts'
import { waitForConfigurationTurn } from './configuration-turn.store.ts'
import type { SnapshotProblem } from './load-snapshot.ts'

/** One change that an administrator makes to what calls are routed by, while its transaction is open. */
export interface RoutingChange {
  readonly client: PoolClient
  readonly actor: Actor
  newId(): string
  audit(change: AuditedChange): Promise<void>
}

export type RoutingOutcome<T> = { ok: true; value: T } | Refused

/**
 * Carries a change out, and commits it with its audit events and a new version only if routing can be built from what
 * is stored then: nobody can make replicas refuse their configuration. Changes take turns with each other and with the
 * configuration file.
 */
export type ChangeRouting = <T>(
  actor: Actor,
  work: (change: RoutingChange) => Promise<RoutingOutcome<T>>,
) => Promise<RoutingOutcome<T>>

export interface RoutingChangesDeps {
  pool: Pool
  /** What keeps routing from being built, as seen by this connection. */
  problemsOf(database: Pool | PoolClient): Promise<readonly SnapshotProblem[]>
  clock: Clock
  newId: IdSource
  /** Told after the change is committed. */
  changed(): void
}

export function createRoutingChanges({ pool, problemsOf, clock, newId, changed }: RoutingChangesDeps): ChangeRouting {
  return async (actor, work) => {
    try {
      const outcome = await inTransaction(pool, async (client) => {
        await waitForConfigurationTurn(client)
        const id = (): string => newId(clock.nowMs())
        const audit = (change: AuditedChange) => recordAudit(client, { id: id(), actor }, change)
        const result = await work({ client, actor, newId: id, audit })
        if (!result.ok) throw new RefusedChange(result)
        const problems = await problemsOf(client)
        if (problems.length > 0) await refuseNew(problems)
        await client.query(
          `insert into config_versions (source, status, content_hash) values ('admin', 'active', $1)`,
          [id()],
        )
        return result
      })
      changed()
      return outcome
    } catch (error) {
      if (error instanceof RefusedChange) return error.refused
      throw error
    }
  }

  /** What was wrong before does not keep anybody from putting something else right. */
  async function refuseNew(problems: readonly SnapshotProblem[]): Promise<void> {
    // Ours is the turn, so another connection sees the state before this change.
    const before = new Set((await problemsOf(pool)).map(nameOf))
    const fresh = problems.filter((problem) => !before.has(nameOf(problem)))
    if (fresh.length === 0) return
    throw new RefusedChange({
      ok: false,
      refusals: fresh.map(({ path, message }) => ({ code: 'invalid', message: `${path}: ${message}`, path: [] })),
    })
  }
}

const nameOf = ({ path, message }: SnapshotProblem): string => `${path} ${message}`

/** Thrown, so that the transaction is rolled back. */
class RefusedChange extends Error {
  readonly refused: Refused
  constructor(refused: Refused) {
    super('The change is refused.')
    this.refused = refused
  }
}
