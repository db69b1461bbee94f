import type { ConfigProblem } from '../config/problem.ts'
import type { UpstreamStatus } from '../core/health/upstream-status.ts'
import type { DoorAddresses, DoorPorts } from '../gateway.ts'
import type { MetricSeries } from '../ops/metric-series.ts'

/** The files that make up a configuration, by path: a worker reads them as the primary has found them. */
export type ConfigFiles = ReadonlyMap<string, string>

/** What a worker is given to begin with. */
export interface WorkerStart {
  type: 'start'
  /** Names it in logs, metrics and the list of replicas; its journal, too. Stable across restarts. */
  name: string
  /** Of all workers of this start. */
  names: readonly string[]
  /** Whether this one takes over what workers have left that are no longer started. */
  adopts: boolean
  files: ConfigFiles
  ports: DoorPorts
  /** Where the usage journals of the data folder lie. */
  journals: string
  keyPepper: Uint8Array
  masterKey: Uint8Array
}

/** Asked of a worker, each answered by one `WorkerAnswer` of the same id. */
export type WorkerRequest =
  | { type: 'metrics'; id: number }
  /** Files of a configuration that the database holds already. */
  | { type: 'reload'; id: number; files: ConfigFiles }
  /** Answered when no answer to a client is left. */
  | { type: 'drain'; id: number }

export type ToWorker =
  | WorkerStart
  | WorkerRequest
  /** It is going to be drained: who asks for its health should go elsewhere. */
  | { type: 'drain-announced' }
  /** A drain under way has to end now. */
  | { type: 'deadline' }
  /** Close everything and exit. */
  | { type: 'close' }

export interface WorkerAnswers {
  metrics: readonly MetricSeries[]
  reload: readonly ConfigProblem[]
  drain: null
}

export type FromWorker =
  /** It can be told now. */
  | { type: 'hello' }
  | { type: 'ready'; addresses: DoorAddresses }
  /** It will not start like this; the message is for the operator. */
  | { type: 'refused'; reason: string; message: string; exitCode: number }
  /** Why it should get no calls, and what it knows of its upstreams; comes by itself, now and then. */
  | { type: 'status'; notReady: readonly string[]; upstreams: readonly UpstreamStatus[] }
  | { type: 'answer'; id: number; value: WorkerAnswers[keyof WorkerAnswers] }
  /** The request failed; the worker's log says why. */
  | { type: 'failed'; id: number }
