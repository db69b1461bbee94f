import type { Worker } from 'node:cluster'
import { setTimeout as delay } from 'node:timers/promises'
import type { ConfigProblem } from '../config/problem.ts'
import type { UpstreamStatus } from '../core/health/upstream-status.ts'
import type { Log } from '../core/log.ts'
import type { DoorAddresses, DoorPorts } from '../gateway.ts'
import { addEnded, type MetricSeries, type ProcessSeries } from '../ops/metric-series.ts'
import type { ConfigFiles, WorkerStart } from './messages.ts'
import { createRestartPolicy } from './restart-policy.ts'
import { linkWorker, type WorkerLink } from './worker-link.ts'

/** The workers of this process: as many as there should be, each replaced when it dies. */
export interface WorkerPool {
  /** Resolves when all serve. @throws StartRefusal what the first start of one was refused with */
  readonly ready: Promise<DoorAddresses>
  /** Resolves when going on is of no use, with why; a refusal before `ready` included. */
  readonly failed: Promise<Error>
  workers(): readonly PooledWorker[]
  /** Empty as long as one worker should get calls. */
  notReadyReasons(): readonly string[]
  /** Of each worker as it is now, or as it was last heard of; and of all that are gone. */
  collect(): Promise<{ workers: ProcessSeries[]; ended: readonly MetricSeries[] }>
  /** Puts other files in force in every worker, or says why one would not. */
  reload(files: ConfigFiles): Promise<readonly ConfigProblem[]>
  /** Who asks for their health should go elsewhere from now on. */
  announceDrain(): void
  /** Nothing new is accepted; resolves when no answer is left. @param deadline - cuts short what is left then */
  drain(deadline: Promise<void>): Promise<void>
  close(): Promise<void>
}

export interface PooledWorker {
  name: string
  /** It should get calls. */
  isReady: boolean
  restarts: number
  /** What it knew of its upstreams when it last spoke. */
  upstreams: readonly UpstreamStatus[]
}

export interface WorkerPoolDeps {
  names: readonly string[]
  fork(): Worker
  files: ConfigFiles
  ports: DoorPorts
  common: Pick<WorkerStart, 'journals' | 'keyPepper' | 'masterKey'>
  monotonicMs(): number
  log: Log
}

const metricsTimeoutMs = 1_000
const reloadTimeoutMs = 30_000
/** A worker writes out its journal for 5 s at most; then it may still be in it, and the next start goes on. */
const killAfterMs = 6_000

interface Slot {
  name: string
  link: WorkerLink
  restarts: number
  /** As the worker that runs now has reported last. */
  series: readonly MetricSeries[] | undefined
}

export function openWorkerPool(deps: WorkerPoolDeps): WorkerPool {
  const { names, log } = deps
  const ready = Promise.withResolvers<DoorAddresses>()
  const failed = Promise.withResolvers<Error>()
  const stopping = new AbortController()
  let files = deps.files
  let ended: readonly MetricSeries[] = []
  let addresses: DoorAddresses | undefined
  const slots: Slot[] = []

  const startLink = (name: string): WorkerLink => {
    // Workers that ask for any free port share one while any of them listens. The first of a new lot asks for the old one.
    const isAlone = !slots.some(({ link }) => link.isReady())
    const ports = isAlone && addresses ? { rest: addresses.rest.port, grpc: addresses.grpc.port } : deps.ports
    const adopts = name === names[0]
    const start: WorkerStart = { type: 'start', name, names, adopts, files, ports, ...deps.common }
    const link = linkWorker(deps.fork(), start, deps.monotonicMs)
    void link.ready.then(async (listening) => {
      log.info({ worker: name, pid: link.pid }, 'A worker serves.')
      addresses ??= listening
      if (slots.every((slot) => slot.link.isReady())) ready.resolve(addresses)
      // A reload that passed it by while it started.
      if (link.files !== files) await reloadOne(link)
    })
    return link
  }

  const reloadOne = (link: WorkerLink): Promise<readonly ConfigProblem[]> =>
    link.reload(files, reloadTimeoutMs).catch((error: Error) => {
      // One that ended is started with the new files.
      if (!link.isReady()) return []
      return [{ path: 'file', message: `was not taken by a worker: ${error.message}` }]
    })

  const keep = async (slot: Slot): Promise<void> => {
    const policy = createRestartPolicy()
    for (;;) {
      const { how, refusal } = await slot.link.exit
      ended = addEnded(ended, slot.series)
      slot.series = undefined
      if (stopping.signal.aborted) return
      if (refusal && !addresses) {
        ready.reject(refusal)
        return
      }
      const waitMs = policy.died(deps.monotonicMs())
      const why = refusal ? { refusal: refusal.message } : {}
      if (waitMs === undefined) {
        log.error({ worker: slot.name, ...why }, `A worker ended ${how}, once too often.`)
        const last = refusal ? ` It said: ${refusal.message}` : ' Its last lines in the log say why.'
        const error = new Error(`${slot.name} ended again and again within a minute (${how}).${last}`)
        failed.resolve(error)
        ready.reject(error)
        return
      }
      log.error({ worker: slot.name, restart_in_ms: waitMs, ...why }, `A worker ended ${how}; it is started again.`)
      await delay(waitMs, undefined, { signal: stopping.signal, ref: false }).catch(() => {})
      if (stopping.signal.aborted) return
      slot.restarts++
      slot.link = startLink(slot.name)
    }
  }

  for (const name of names) slots.push({ name, link: startLink(name), restarts: 0, series: undefined })
  const keeping = slots.map(keep)
  ready.promise.catch(() => {}) // Who stops before has no use for it.

  return {
    ready: ready.promise,
    failed: failed.promise,
    workers: () =>
      slots.map(({ name, link, restarts }) => ({
        name,
        isReady: shouldGetCalls(link),
        restarts,
        upstreams: link.upstreams(),
      })),
    notReadyReasons() {
      if (slots.some(({ link }) => shouldGetCalls(link))) return []
      return slots.flatMap(({ name, link }) => link.notReadyReasons().map((reason) => `${name}: ${reason}`))
    },
    async collect() {
      await Promise.all(
        slots.map(async (slot) => {
          const { link } = slot
          if (!link.isReady()) return
          const series = await link.metrics(metricsTimeoutMs).catch(() => undefined)
          // The answer of one that was replaced meanwhile is not that of its successor.
          if (series && slot.link === link && link.isReady()) slot.series = series
        }),
      )
      const workers = slots.map(({ name, series }) => ({ worker: name, series: series ?? [] }))
      return { workers, ended }
    },
    async reload(next) {
      files = next
      const problems = await Promise.all(
        slots.map(({ link }) => (link.isReady() ? reloadOne(link) : Promise.resolve([]))),
      )
      // All have the same reasons.
      return problems.find((found) => found.length > 0) ?? []
    },
    announceDrain() {
      for (const { link } of slots) link.announceDrain()
    },
    async drain(deadline) {
      stopping.abort()
      await Promise.all(slots.map(({ link }) => link.drain(deadline)))
    },
    async close() {
      stopping.abort()
      await Promise.all(slots.map(({ link }) => link.close(killAfterMs)))
      await Promise.all(keeping)
    },
  }
}

const shouldGetCalls = (link: WorkerLink): boolean => link.isReady() && link.notReadyReasons().length === 0
