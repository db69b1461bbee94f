import type pg from 'pg'

/** A process as it presents itself. */
export interface ReplicaIdentity {
  /** Of this start; see `createReplicaId`. */
  id: string
  host: string
  pid: number
  /** Of the release that it runs. */
  version: string
  /** Which of the processes of one start it is: `main` or `worker-<n>`. */
  label: string
}

export interface StoredReplica extends ReplicaIdentity {
  startedAt: Date
  heartbeatAt: Date
  stoppedAt: Date | null
  isLive: boolean
}

/** A replica that was not heard of for so long is gone, by the database's clock. */
export const replicaGoneAfterMs = 30_000
const forgottenAfter = '1 day'

/** SQL: whether the row `r` of `replicas` is that of a replica in service. */
export const isLiveReplica = `(r.stopped_at is null
  and r.heartbeat_at > clock_timestamp() - interval '${replicaGoneAfterMs} milliseconds')`

/**
 * Says that a replica is there. A row that is missing is made again, and so is the life of one that counted as gone.
 *
 * @returns how many replicas are in service, this one included
 */
export async function beat(database: pg.Pool | pg.ClientBase, replica: ReplicaIdentity): Promise<number> {
  const { rows } = await database.query<{ others: number }>(
    `with beaten as (
       insert into replicas (id, host, pid, version, label, started_at, heartbeat_at)
       values ($1, $2, $3, $4, $5, clock_timestamp(), clock_timestamp())
       on conflict (id) do update set heartbeat_at = clock_timestamp(), stopped_at = null
     )
     select count(*)::integer as others from replicas r where r.id <> $1 and ${isLiveReplica}`,
    [replica.id, replica.host, replica.pid, replica.version, replica.label],
  )
  return (rows[0]?.others ?? 0) + 1
}

/** Says that a replica will not come back: what it still owns may be taken over at once. */
export async function markStopped(database: pg.Pool | pg.ClientBase, id: string): Promise<void> {
  await database.query('update replicas set stopped_at = clock_timestamp() where id = $1', [id])
}

/** Deletes replicas that were last heard of a day ago; they have been swept long since. */
export async function forgetReplicas(database: pg.Pool | pg.ClientBase): Promise<void> {
  await database.query(`delete from replicas where heartbeat_at < clock_timestamp() - interval '${forgottenAfter}'`)
}

/** All that are remembered, the latest start first. */
export async function listReplicas(database: pg.Pool | pg.ClientBase): Promise<StoredReplica[]> {
  const { rows } = await database.query<StoredReplica>(
    `select r.id, r.host, r.pid, r.version, r.label, r.started_at as "startedAt", r.heartbeat_at as "heartbeatAt",
       r.stopped_at as "stoppedAt", ${isLiveReplica} as "isLive"
     from replicas r order by r.started_at desc, r.id`,
  )
  return rows
}

/**
 * Which of these replicas are gone: stopped, silent for `replicaGoneAfterMs`, or not known at all.
 *
 * After an outage of the database everybody has been silent: ask only while `ReplicaRegistry.isSteady()`.
 */
export async function vanishedReplicas(
  database: pg.Pool | pg.ClientBase,
  ids: readonly string[],
): Promise<ReadonlySet<string>> {
  const { rows } = await database.query<{ id: string }>(
    `select owner.id from unnest($1::text[]) as owner (id)
     where not exists (select from replicas r where r.id = owner.id and ${isLiveReplica})`,
    [ids],
  )
  return new Set(rows.map(({ id }) => id))
}
