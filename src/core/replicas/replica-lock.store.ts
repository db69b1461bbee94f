import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { openConnection } from '../db/connection.ts'
import type { Log } from '../log.ts'
import { StartRefusal } from '../start-refusal.ts'

/**
 * Keeps replicas off a database that could not agree with each other: limits and events that live in the memory of one
 * process would hold for that process alone. A process without shared state holds the database exclusively, those with
 * it hold it together.
 */
export interface ReplicaLock {
  /** Why this process should get no calls; empty while it holds the database, and while nobody can tell. */
  notReadyReasons(): readonly string[]
  close(): Promise<void>
}

export interface ReplicaLockDeps {
  url: string
  /** Whether counters and events are shared with other replicas, which is what Redis is for. */
  sharesState: boolean
  /** Who holds it, for the operator of the one that is refused. */
  replica: string
  log: Log
  signal?: AbortSignal
  times?: Partial<ReplicaLockTimes>
}

export interface ReplicaLockTimes {
  /** The server may take a moment to notice that the process before this one was killed. */
  waitForOthersMs: number
  retryMs: number
  /** How often the connection is tried; a server that hangs or has failed over is not noticed otherwise. */
  probeMs: number
  /** A probe without an answer for so long has lost its connection. */
  probeTimeoutMs: number
  /** Between attempts to get a lost lock back; doubles from `retryMs` up to this. */
  regainMsMax: number
}

const defaultTimes: ReplicaLockTimes = {
  waitForOthersMs: 5_000,
  retryMs: 250,
  probeMs: 10_000,
  probeTimeoutMs: 5_000,
  regainMsMax: 10_000,
}

/** Any number will do as long as every release uses the same. */
const advisoryLock = 'hashtext($$llmgw replicas$$)'
const namePrefix = 'llmgw replica '

/**
 * A session lock on a connection of its own, so that it goes with the process, however that ends. A connection that is
 * lost later is made again, for as long as it takes; nothing ends because of it.
 *
 * @throws StartRefusal `replica_refused` when another process has the database and the two could not agree
 * @throws what the database throws when it is not there
 */
export async function takeReplicaLock(deps: ReplicaLockDeps): Promise<ReplicaLock> {
  const { log, sharesState } = deps
  const times: ReplicaLockTimes = { ...defaultTimes, ...deps.times }
  const closing = new AbortController()
  let refusedBecause: string | undefined
  let held = await take(deps, times)
  const keeping = keep()

  async function keep(): Promise<void> {
    while (!closing.signal.aborted) {
      await untilLost(held, times, closing.signal)
      await end(held)
      if (closing.signal.aborted) return
      log.warn({}, 'The database connection that keeps other gateways off was lost; taking the lock again.')
      const regained = await regain()
      if (regained) held = regained
    }
  }

  async function regain(): Promise<pg.Client | undefined> {
    for (let waitMs = times.retryMs; ; waitMs = Math.min(waitMs * 2, times.regainMsMax)) {
      if (closing.signal.aborted) return undefined
      const found = await tryLock(deps, times).catch((error: Error) => error)
      if (!(found instanceof Error)) {
        if ('client' in found) {
          log.info({}, 'The lock that keeps other gateways off is held again.')
          refusedBecause = undefined
          return found.client
        }
        if (refusedBecause === undefined) {
          log.error({ holder: found.holder }, `Unready. ${refusalText(sharesState, found)}`)
        }
        refusedBecause = 'another gateway has the database, and state is not shared with it'
      }
      await delay(waitMs * (0.5 + Math.random() / 2), undefined, { signal: closing.signal, ref: false }).catch(() => {})
    }
  }

  return {
    notReadyReasons: () => (refusedBecause === undefined ? [] : [refusedBecause]),
    async close() {
      closing.abort()
      await keeping
      await end(held)
    },
  }
}

async function take(deps: ReplicaLockDeps, times: ReplicaLockTimes): Promise<pg.Client> {
  const deadlineMs = performance.now() + times.waitForOthersMs
  for (;;) {
    const found = await tryLock(deps, times)
    if ('client' in found) return found.client
    if (performance.now() >= deadlineMs) {
      throw new StartRefusal('replica_refused', refusalText(deps.sharesState, found))
    }
    await delay(times.retryMs, undefined, deps.signal ? { signal: deps.signal } : {})
  }
}

/** Who has the lock; the first that the server names, when there are several. */
interface Holder {
  holder: string | undefined
  isExclusive: boolean
}

async function tryLock(
  { url, sharesState, replica }: ReplicaLockDeps,
  { probeTimeoutMs }: ReplicaLockTimes,
): Promise<{ client: pg.Client } | Holder> {
  const purpose = `${namePrefix.slice('llmgw '.length)}${replica}`
  const client = await openConnection({ url, purpose, statementTimeoutMs: probeTimeoutMs })
  const attempt = async (): Promise<{ client: pg.Client } | Holder> => {
    // A machine that is gone without a word must not keep the lock for hours.
    await client.query('set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3')
    const attempt = sharesState ? 'pg_try_advisory_lock_shared' : 'pg_try_advisory_lock'
    const { rows } = await client.query<{ held: boolean }>(`select ${attempt}(${advisoryLock}) as held`)
    return rows[0]?.held ? { client } : findHolder(client)
  }
  let isHeld = false
  try {
    const found = await answered(attempt(), probeTimeoutMs)
    isHeld = 'client' in found
    return found
  } finally {
    if (!isHeld) await end(client)
  }
}

async function findHolder(client: pg.Client): Promise<Holder> {
  const { rows } = await client.query<{ name: string | null; mode: string }>(
    `select a.application_name as name, l.mode
     from pg_locks l left join pg_stat_activity a on a.pid = l.pid
     where l.locktype = 'advisory' and l.granted and l.objsubid = 1
       and l.database = (select oid from pg_database where datname = current_database())
       and (l.classid::bigint << 32 | l.objid::bigint) = ${advisoryLock}::bigint
     limit 1`,
  )
  const [row] = rows
  return {
    holder: row?.name?.startsWith(namePrefix) ? row.name.slice(namePrefix.length) : undefined,
    isExclusive: row?.mode !== 'ShareLock',
  }
}

function refusalText(sharesState: boolean, { holder, isExclusive }: Holder): string {
  const other = `Another gateway${holder ? ` (replica ${holder})` : ''}`
  if (sharesState) {
    return (
      `${other} uses this database without REDIS_URL, and so must be the only one. Give every replica the same ` +
      'REDIS_URL and start them again, or give this one a database of its own (DATABASE_URL).'
    )
  }
  const theirs = isExclusive ? '' : ' and shares its state by Redis'
  return (
    `${other} uses this database${theirs}. Several replicas need a Redis in common: set REDIS_URL, the same for all of ` +
    'them. Otherwise stop the other one, or give this one a database of its own (DATABASE_URL).'
  )
}

/** Resolves when the connection is gone, answers no more, or the signal ends the watch. */
async function untilLost(client: pg.Client, times: ReplicaLockTimes, signal: AbortSignal): Promise<void> {
  const lost = new AbortController()
  const onLoss = (): void => lost.abort()
  client.once('end', onLoss)
  client.once('error', onLoss)
  const over = AbortSignal.any([lost.signal, signal])
  while (!over.aborted) {
    await delay(times.probeMs, undefined, { signal: over, ref: false }).catch(() => {})
    if (over.aborted) break
    const isAnswered = await answered(client.query('select 1'), times.probeTimeoutMs).then(
      () => true,
      () => false,
    )
    if (!isAnswered) break
  }
  client.off('end', onLoss)
  client.off('error', onLoss)
}

/** @throws an error when the server takes longer, as one that hangs does */
async function answered<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  const waiting = new AbortController()
  const late = delay(timeoutMs, undefined, { signal: waiting.signal, ref: false }).then(() => {
    throw new Error(`The database has not answered for ${timeoutMs} ms.`)
  })
  work.catch(() => {}) // Nobody listens any more when it fails after that.
  try {
    return await Promise.race([work, late])
  } finally {
    late.catch(() => {})
    waiting.abort()
  }
}

/** Says goodbye, and does not wait for a server that hangs: its socket would keep the process alive. */
async function end(client: pg.Client): Promise<void> {
  await answered(client.end(), 1_000).catch(() => {
    // Not in the types: the library itself has no other way to give up a connection.
    const { connection } = client as pg.Client & { connection?: { stream?: { destroy(): void } } }
    connection?.stream?.destroy()
  })
}
