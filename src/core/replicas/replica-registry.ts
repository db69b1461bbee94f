import type pg from 'pg'
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import {
  beat,
  forgetReplicas,
  listReplicas,
  markStopped,
  type ReplicaIdentity,
  replicaGoneAfterMs,
  type StoredReplica,
  vanishedReplicas,
} from './replicas.store.ts'

/** Who else serves from this database, and how others learn of this replica. */
export interface ReplicaRegistry {
  readonly id: string
  /**
   * How many replicas are in service, this one included; at least 1. As of the last heartbeat: while the database is
   * away, the last known number.
   */
  expectedReplicas(): number
  /** How long the last heartbeat is ago. From `replicaGoneAfterMs` on, others take this replica for gone. */
  sinceBeatMs(): number
  /**
   * Whether the silence of others means anything: this replica has been heard of without a gap for as long as it takes
   * to count as gone. After an outage of the database all are silent, and it is not known yet who will come back.
   */
  isSteady(): boolean
  /**
   * Which of these replicas are gone for good, or have been silent for 30 s. None while `isSteady()` is false.
   *
   * @throws what the database throws
   */
  vanished(ids: readonly string[]): Promise<ReadonlySet<string>>
  /** All replicas of the last day, those in service and those gone. @throws what the database throws */
  list(): Promise<StoredReplica[]>
  /** Deregisters, so that what is left here need not wait for the silence; without the database, just ends. */
  close(): Promise<void>
}

export interface ReplicaRegistryDeps extends ReplicaIdentity {
  pool: pg.Pool
  clock: Pick<Clock, 'monotonicMs'>
  log: Log
  beatMs?: number
  /** Heartbeats further apart than this are no longer one life; by default two may fail. */
  gapMs?: number
}

const beatMsDefault = 5_000
const forgetMs = 3_600_000

/**
 * Registers this replica and keeps it alive with a heartbeat every 5 s.
 *
 * @throws what the database throws: a replica that is not registered would be swept while it serves
 */
export async function openReplicaRegistry(deps: ReplicaRegistryDeps): Promise<ReplicaRegistry> {
  const { pool, clock, log, beatMs = beatMsDefault, gapMs = 3 * beatMs } = deps
  const { monotonicMs } = clock
  let expected = 1
  let beatenAtMs = monotonicMs()
  let steadySinceMs = beatenAtMs
  let forgottenAtMs = Number.NEGATIVE_INFINITY
  let isFailing = false
  let isClosed = false
  let timer: NodeJS.Timeout | undefined

  const beatOnce = async (): Promise<void> => {
    // When it was sent: the time by the database is not earlier than that.
    const atMs = monotonicMs()
    expected = await beat(pool, deps)
    if (atMs - beatenAtMs > gapMs) steadySinceMs = atMs
    beatenAtMs = atMs
    if (atMs - forgottenAtMs < forgetMs) return
    await forgetReplicas(pool)
    forgottenAtMs = atMs
  }
  const beatAgain = async (): Promise<void> => {
    try {
      await beatOnce()
      isFailing = false
    } catch (error) {
      if (!isFailing) log.warn({ err: error }, 'The heartbeat of this replica did not arrive; tried again.')
      isFailing = true
    }
    schedule()
  }
  let beating: Promise<void> = beatOnce()
  const schedule = (): void => {
    if (isClosed) return
    timer = setTimeout(() => {
      beating = beatAgain()
    }, beatMs)
    timer.unref()
  }
  await beating
  schedule()

  const sinceBeatMs = (): number => monotonicMs() - beatenAtMs
  const isSteady = (): boolean => sinceBeatMs() <= gapMs && monotonicMs() - steadySinceMs >= replicaGoneAfterMs
  return {
    id: deps.id,
    expectedReplicas: () => expected,
    sinceBeatMs,
    isSteady,
    vanished: async (ids) => (isSteady() && ids.length > 0 ? vanishedReplicas(pool, ids) : new Set()),
    list: () => listReplicas(pool),
    async close() {
      isClosed = true
      clearTimeout(timer)
      await beating
      await markStopped(pool, deps.id).catch((error: unknown) => {
        log.warn({ err: error }, 'This replica could not say that it stops; it counts as gone in 30 s.')
      })
    },
  }
}
