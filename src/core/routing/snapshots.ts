import type { Clock } from '../clock.ts'
import { GatewayError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Provider } from '../providers/provider.ts'
import { closeAll, type LoadedSnapshot, type SnapshotProblem, unusedProviders } from './load-snapshot.ts'
import type { RoutingSnapshot } from './snapshot.ts'

/** Keeps the newest good snapshot in force. */
export interface Snapshots {
  /** @throws GatewayError `no_healthy_provider` until the first one is loaded */
  current(): RoutingSnapshot
  isLoaded(): boolean
  /**
   * Loads what is stored now. One load runs at a time; whoever asks meanwhile shares the one that starts next.
   * Never rejects: when nothing could be loaded, the snapshot in force stays in force.
   */
  reload(): Promise<ReloadOutcome>
  /** Looks soon, rather than at the next poll, whether something newer is stored, and loads it if so. */
  pollNow(): void
  statistics(): SnapshotStatistics
  /** Stops watching and closes every provider, retired ones included. */
  close(): Promise<void>
}

export type ReloadOutcome =
  | { status: 'active'; version: bigint }
  /** The configuration is bad; `problems` say why. */
  | { status: 'rejected'; version: bigint; problems: SnapshotProblem[] }
  /** The database did not answer; says nothing about the configuration. */
  | { status: 'failed' }

export interface SnapshotStatistics {
  /** Of the snapshot in force. */
  version: bigint | undefined
  reloads: number
  rejected: number
  failed: number
}

export interface SnapshotsDeps {
  load(previous: RoutingSnapshot | undefined): Promise<LoadedSnapshot>
  /** See `readActiveVersion`. */
  latestVersion(): Promise<bigint>
  clock: Clock
  log: Log
  /** From 0 up to 1: replicas must not all reload in the same instant. */
  random?: () => number
  pollMs?: number
  /** A reload that a poll asks for begins within this time. */
  spreadMs?: number
  /** How long a retired provider outlives its longest call. */
  graceMs?: number
}

export function createSnapshots({
  load,
  latestVersion,
  clock,
  log,
  random = Math.random,
  pollMs = 5_000,
  spreadMs = 2_000,
  graceMs = 30_000,
}: SnapshotsDeps): Snapshots {
  let current: RoutingSnapshot | undefined
  /** The last version that was looked at, taken or not: a rejected one is not tried over and over. */
  let seenVersion: bigint | undefined
  let running: Promise<ReloadOutcome> | undefined
  let queued: Promise<ReloadOutcome> | undefined
  let pollFailing = false
  let closed = false
  const counts = { reloads: 0, rejected: 0, failed: 0 }
  const retired = new Map<Provider, NodeJS.Timeout>()

  const retire = (provider: Provider): void => {
    // Calls keep the snapshot they started with: when the longest of them is over, nobody holds this provider.
    const timer = setTimeout(() => {
      retired.delete(provider)
      void closeAll([provider])
    }, provider.totalTimeoutMs + graceMs)
    timer.unref()
    retired.set(provider, timer)
  }

  const loadOnce = async (): Promise<ReloadOutcome> => {
    counts.reloads++
    let loaded: LoadedSnapshot
    try {
      loaded = await load(current)
    } catch (error) {
      counts.failed++
      log.warn({ err: error }, 'routing could not be loaded; the one in force stays')
      return { status: 'failed' }
    }
    if (!loaded.ok) {
      counts.rejected++
      seenVersion = loaded.version
      log.error(
        { version: String(loaded.version), problems: loaded.problems },
        'routing is rejected; the one in force stays',
      )
      return { status: 'rejected', version: loaded.version, problems: loaded.problems }
    }
    const { snapshot, insteadOf } = loaded
    const unused = unusedProviders(current?.providers.values() ?? [], snapshot.providers.values())
    current = snapshot
    seenVersion = insteadOf?.version ?? snapshot.version
    unused.forEach(retire)
    if (insteadOf) {
      counts.rejected++
      log.error(
        { version: String(insteadOf.version), problems: insteadOf.problems, in_force: String(snapshot.version) },
        'routing is rejected; the last good one is in force',
      )
    }
    log.info({ version: String(snapshot.version), providers: snapshot.providers.size }, 'routing is loaded')
    return { status: 'active', version: snapshot.version }
  }

  const start = (): Promise<ReloadOutcome> => {
    running = loadOnce().finally(() => {
      running = undefined
    })
    return running
  }

  const reload = (): Promise<ReloadOutcome> => {
    if (closed) return Promise.resolve({ status: 'failed' })
    if (!running) return start()
    // The running load may have read already what changed since, so it does not answer this request.
    queued ??= running.then(() => {
      queued = undefined
      return closed ? { status: 'failed' } : start()
    })
    return queued
  }

  const isOutdated = (): boolean => !current || clock.nowMs() >= (current.validUntilMs ?? Number.POSITIVE_INFINITY)

  const poll = async (): Promise<void> => {
    try {
      const latest = await latestVersion()
      pollFailing = false
      if (latest !== seenVersion || isOutdated()) schedule(reload, random() * spreadMs)
      else schedule(poll, pollMs)
    } catch (error) {
      if (!pollFailing) log.warn({ err: error }, 'the version of the routing cannot be read; tried again')
      pollFailing = true
      schedule(poll, pollMs)
    }
  }

  let pending: Promise<unknown> = Promise.resolve()
  let timer: NodeJS.Timeout | undefined
  /** What the timer is for; undefined while that runs. */
  let next: typeof poll | typeof reload | undefined
  /** Asked for while a poll, or the load it led to, was under way: that may have read too early. */
  let pollAgain = false
  const schedule = (work: typeof poll | typeof reload, delayMs: number): void => {
    if (closed) return
    const isAsked = pollAgain && work === poll
    if (isAsked) pollAgain = false
    next = work
    timer = setTimeout(
      () => {
        next = undefined
        pending = work().then(() => {
          if (work !== poll) schedule(poll, pollMs)
        })
      },
      isAsked ? 0 : delayMs,
    )
    timer.unref()
  }
  schedule(poll, pollMs)

  return {
    current() {
      if (current) return current
      throw new GatewayError(
        'no_healthy_provider',
        'The gateway has not loaded its configuration yet. Try again shortly.',
        {
          retryAfterMs: 1_000,
        },
      )
    },
    isLoaded: () => current !== undefined,
    reload,
    pollNow() {
      if (next === reload) return // which has yet to read
      pollAgain = true
      if (next === undefined) return
      clearTimeout(timer)
      schedule(poll, 0)
    },
    statistics: () => ({ version: current?.version, ...counts }),
    async close() {
      closed = true
      clearTimeout(timer)
      await pending
      await running
      const providers = [...retired.keys(), ...unusedProviders(current?.providers.values() ?? [], [])]
      for (const each of retired.values()) clearTimeout(each)
      retired.clear()
      await closeAll(providers)
    },
  }
}
