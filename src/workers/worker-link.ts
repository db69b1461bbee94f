import type { Worker } from 'node:cluster'
import { setTimeout as delay } from 'node:timers/promises'
import type { UpstreamStatus } from '../core/health/upstream-status.ts'
import { StartRefusal, type StartRefusalReason } from '../core/start-refusal.ts'
import type { DoorAddresses } from '../gateway.ts'
import { closeLostConnections } from './lost-connections.ts'
import type { ConfigFiles, FromWorker, ToWorker, WorkerAnswers, WorkerRequest, WorkerStart } from './messages.ts'

/** One run of one worker, as the primary sees it. */
export interface WorkerLink {
  readonly pid: number | undefined
  /** Resolves when it serves; never, when it does not get that far. */
  readonly ready: Promise<DoorAddresses>
  /** Resolves when its process is gone. */
  readonly exit: Promise<WorkerExit>
  /** The configuration that it was given last. */
  readonly files: ConfigFiles
  isReady(): boolean
  /** Why it should get no calls; a worker that says nothing is not asked for more. */
  notReadyReasons(): readonly string[]
  /** What it knew of its upstreams when it last spoke. */
  upstreams(): readonly UpstreamStatus[]
  /** @throws an error when it does not answer in time, fails, or ends */
  metrics(timeoutMs: number): Promise<WorkerAnswers['metrics']>
  /** @throws an error when it does not answer in time, fails, or ends */
  reload(files: ConfigFiles, timeoutMs: number): Promise<WorkerAnswers['reload']>
  /** Who asks for its health should go elsewhere from now on. */
  announceDrain(): void
  /** Resolves when no answer is left, or the worker is gone. @param deadline - cuts short what is left then */
  drain(deadline: Promise<void>): Promise<void>
  /** Resolves when it is gone. @param killAfterMs - when it does not go by itself */
  close(killAfterMs: number): Promise<void>
}

export interface WorkerExit {
  /** In words. */
  how: string
  /** What it has said before, when it will not start like this. */
  refusal: StartRefusal | undefined
}

/** Without a word for so long, a worker is stuck; it speaks every second. */
const silentMsMax = 10_000

export function linkWorker(worker: Worker, start: WorkerStart, monotonicMs: () => number): WorkerLink {
  closeLostConnections(worker)
  const ready = Promise.withResolvers<DoorAddresses>()
  const exit = Promise.withResolvers<WorkerExit>()
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  let files = start.files
  let isReady = false
  let notReady: readonly string[] = ['starting']
  let upstreams: readonly UpstreamStatus[] = []
  let heardAtMs = monotonicMs()
  let refusal: StartRefusal | undefined
  let nextId = 1
  let isGone = false

  const send = (message: ToWorker): void => {
    // One that is just ending is noticed by its exit.
    if (worker.isConnected()) worker.send(message, () => {})
  }
  worker.on('message', (message: FromWorker) => {
    heardAtMs = monotonicMs()
    switch (message.type) {
      case 'hello':
        return send(start)
      case 'ready':
        isReady = true
        notReady = []
        return ready.resolve(message.addresses)
      case 'refused':
        refusal = new StartRefusal(message.reason as StartRefusalReason, message.message, {
          exitCode: message.exitCode,
        })
        return
      case 'status':
        notReady = message.notReady
        upstreams = message.upstreams
        return
      case 'answer':
      case 'failed': {
        const request = waiting.get(message.id)
        waiting.delete(message.id)
        if (message.type === 'answer') request?.resolve(message.value)
        else request?.reject(new Error('The worker could not do it.'))
      }
    }
  })
  worker.on('error', () => {}) // a message that could not be sent; its exit says more
  const gone = (how: string): void => {
    if (isGone) return
    isGone = true
    isReady = false
    for (const request of waiting.values()) request.reject(new Error('The worker has ended.'))
    waiting.clear()
    exit.resolve({ how, refusal })
  }
  worker.once('exit', (code: number, signal: string | null) => gone(signal ? `by ${signal}` : `with exit code ${code}`))

  const request = <Type extends keyof WorkerAnswers>(
    body: Omit<Extract<WorkerRequest, { type: Type }>, 'id'>,
    timeoutMs?: number,
  ): Promise<WorkerAnswers[Type]> => {
    if (isGone) return Promise.reject(new Error('The worker has ended.'))
    const id = nextId++
    const answer = Promise.withResolvers<unknown>()
    waiting.set(id, answer)
    send({ ...body, id } as unknown as WorkerRequest)
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            waiting.delete(id)
            answer.reject(new Error(`The worker has not answered for ${timeoutMs} ms.`))
          }, timeoutMs)
    timer?.unref()
    return answer.promise.finally(() => clearTimeout(timer)) as Promise<WorkerAnswers[Type]>
  }

  return {
    get pid() {
      return worker.process.pid
    },
    ready: ready.promise,
    exit: exit.promise,
    get files() {
      return files
    },
    isReady: () => isReady,
    notReadyReasons: () => (monotonicMs() - heardAtMs > silentMsMax ? ['does not answer'] : notReady),
    upstreams: () => upstreams,
    metrics: (timeoutMs) => request<'metrics'>({ type: 'metrics' }, timeoutMs),
    reload(next, timeoutMs) {
      files = next
      return request<'reload'>({ type: 'reload', files: next }, timeoutMs)
    },
    announceDrain: () => send({ type: 'drain-announced' }),
    async drain(deadline) {
      if (!isReady) return
      const drained = request<'drain'>({ type: 'drain' }).then(
        () => {},
        () => {},
      )
      void deadline.then(() => send({ type: 'deadline' }))
      await drained
    },
    async close(killAfterMs) {
      send({ type: 'close' })
      const late = new AbortController()
      const timer = delay(killAfterMs, undefined, { signal: late.signal }).then(
        () => worker.process.kill('SIGKILL'),
        () => {},
      )
      await exit.promise
      late.abort()
      await timer
    },
  }
}
