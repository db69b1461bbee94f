import type { Log } from '../log.ts'
import { type LoadedSnapshot, type LoadSnapshotDeps, loadRoutingSnapshot } from './load-snapshot.ts'
import type { StoredRouting } from './snapshot.store.ts'
import type { RoutingSnapshot } from './snapshot.ts'

/** The stored routing that could last be built, kept for replicas that start later. */
export interface LastGoodRouting {
  /** Keeps what is stored now, if that still is this version. */
  save(version: bigint): Promise<void>
  /** @returns undefined when nothing was ever kept */
  read(): Promise<StoredRouting | undefined>
}

export interface LoadRoutingDeps extends LoadSnapshotDeps {
  /** See `readStoredRouting`. */
  read(): Promise<StoredRouting>
  lastGood: LastGoodRouting
  log: Log
}

/**
 * Builds routing of what is stored. A process that has none yet does not fail to start over what an administrator has
 * changed in the database: it begins with what was good before, as the replicas that run go on with. What was declared
 * outside the database is for whoever starts the process to put right.
 *
 * @throws whatever the database throws: that says nothing about the configuration
 */
export async function loadRouting(
  deps: LoadRoutingDeps,
  previous: RoutingSnapshot | undefined,
): Promise<LoadedSnapshot> {
  const { lastGood, log } = deps
  const loaded = await loadRoutingSnapshot(deps, await deps.read(), previous)
  if (loaded.ok) {
    const { version } = loaded.snapshot
    if (version !== previous?.version) {
      await lastGood.save(version).catch((error: unknown) => {
        log.warn({ err: error }, 'The routing in force was not kept for replicas that start later.')
      })
    }
    return loaded
  }
  if (previous || loaded.problems.some(({ isDeclared }) => isDeclared)) return loaded
  const kept = await lastGood.read()
  if (!kept) return loaded
  // Models and prices are those of today, so a part of what was good may not be any more.
  const before = await loadRoutingSnapshot(deps, kept, undefined, { leavesOut: true })
  if (!before.ok) return loaded
  return { ...before, insteadOf: { version: loaded.version, problems: loaded.problems } }
}
