import { GatewayError } from '../errors.ts'
import type { AnswerSink, Call, IdempotencyRequest } from '../inference/call.ts'
import type { Log } from '../log.ts'
import { AnswerRecording } from './answer-recording.ts'
import { fingerprintOf } from './fingerprint.ts'
import type { EarlierUse, IdempotencyKeyStore, KeyUse } from './idempotency-keys.store.ts'
import type { WrittenAnswer } from './stored-answer.ts'

/** Sees to it that of all requests with one `Idempotency-Key` one is dispatched. The database decides which. */
export interface Idempotency {
  /**
   * Comes before anything that a call takes or leaves: limits, budgets, the journal.
   *
   * @returns the claim of the first request with this key, which is to be given back or ended; undefined when the sink
   *   has got the stored answer instead
   * @throws GatewayError idempotency_in_progress, idempotency_key_reused or idempotency_key_mismatch; limits_unavailable
   *   when the database does not say which
   */
  begin(call: Call, request: IdempotencyRequest, sink: AnswerSink): Promise<Claim | undefined>
  /** Writes what has not been written yet, if the database lets it. */
  close(): Promise<void>
}

/**
 * The right to dispatch a request with a key. Exactly one of the two is called; both resolve once the database knows, or
 * did not answer (it is told later), and never reject.
 */
export interface Claim {
  /** Nothing was used: the key may be used again. */
  release(): Promise<void>
  /** The request was dispatched and has been answered, or its client has left. */
  end(): Promise<void>
}

export interface IdempotencyDeps {
  store: IdempotencyKeyStore
  log: Log
  /** Undefined keeps no answers, and repeats none. */
  answerBytesMax: number | undefined
  /** How often claims that are held are renewed; a third of the store's lease. */
  renewMs?: number
  retryMs?: number
}

/** Answers that wait for a database that is away, all together; those beyond are not kept. */
const waitingBytesMax = 16 * 1024 * 1024
/** Claims that wait for it; those beyond lapse by themselves. */
const waitingMax = 10_000
/** A key may be given back between a claim that failed and the look at who has it. */
const claimsMax = 3

/** A row of ours that says `running`, or may say so. */
interface Held {
  use: KeyUse
  /** What is to be written; undefined while the call runs. */
  outcome: { keepsKey: boolean; answer: WrittenAnswer | undefined } | undefined
  /** The database did not take the outcome; it is offered again. */
  isWaiting: boolean
}

interface Running {
  use: KeyUse
  /** Whether the key is ours; rejects when the database does not say. */
  claimed: Promise<boolean>
}

export function openIdempotency(deps: IdempotencyDeps): Idempotency {
  const { store, log, answerBytesMax, renewMs = 15_000, retryMs = 1_000 } = deps
  const held = new Map<string, Held>()
  /** By key: what this process claims or runs. Who comes with the same key meanwhile need not ask the database. */
  const running = new Map<string, Running>()
  /** By key: outcomes that are being written. Whoever comes with the same key waits to see them. */
  const writing = new Map<string, Promise<void>>()
  let waiting = 0
  let waitingBytes = 0
  let failing = false
  let closed = false
  let renewing: Promise<void> | undefined
  let retrying: Promise<void> | undefined
  let retryTimer: NodeJS.Timeout | undefined
  const renewTimer = setInterval(() => {
    renewing ??= renew().finally(() => {
      renewing = undefined
    })
  }, renewMs)
  renewTimer.unref()

  async function claim(use: KeyUse): Promise<boolean> {
    const claiming: Running = { use, claimed: claimInDatabase(use) }
    running.set(nameOf(use), claiming)
    let isOurs = false
    try {
      isOurs = await claiming.claimed
      return isOurs
    } finally {
      if (!isOurs) forget(use)
    }
  }

  function forget(use: KeyUse): void {
    const name = nameOf(use)
    if (running.get(name)?.use === use) running.delete(name)
  }

  async function claimInDatabase(use: KeyUse): Promise<boolean> {
    const holding: Held = { use, outcome: undefined, isWaiting: false }
    held.set(use.requestId, holding)
    try {
      const isOurs = await store.claim(use)
      if (!isOurs) held.delete(use.requestId)
      return isOurs
    } catch (error) {
      // It may have been taken for us all the same, and then nothing but this gives it back.
      holding.outcome = { keepsKey: false, answer: undefined }
      waitForDatabase(holding)
      throw unavailable(error)
    }
  }

  async function find(use: KeyUse): Promise<EarlierUse | undefined> {
    try {
      return await store.find(use)
    } catch (error) {
      throw unavailable(error)
    }
  }

  function unavailable(cause: unknown): GatewayError {
    failed(cause)
    return new GatewayError(
      'limits_unavailable',
      'Whether this Idempotency-Key has been used cannot be told at the moment; nothing was sent. Try again shortly.',
      { cause },
    )
  }

  function failed(error: unknown): void {
    if (!failing) log.warn({ err: error }, 'Idempotency keys cannot be read or written; requests with one are refused.')
    failing = true
  }

  function claimOf({ requestId }: KeyUse, { cancellation }: Call, sink: AnswerSink): Claim {
    const holding = held.get(requestId) as Held // `claim` has put it there
    const recording = answerBytesMax === undefined ? undefined : new AnswerRecording(answerBytesMax)
    if (recording) sink.record(recording)
    return {
      release: () => settle(holding, { keepsKey: false, answer: undefined }),
      end() {
        // What the gateway cut off to shut down is no answer to give again.
        const wasCut = cancellation.reason?.code === 'server_shutting_down'
        return settle(holding, { keepsKey: true, answer: wasCut ? undefined : recording?.answer })
      },
    }
  }

  async function settle(holding: Held, outcome: Held['outcome']): Promise<void> {
    holding.outcome = outcome
    forget(holding.use)
    const name = nameOf(holding.use)
    const writingIt = write(holding)
    writing.set(name, writingIt)
    await writingIt
    if (writing.get(name) === writingIt) writing.delete(name)
  }

  async function write(holding: Held): Promise<void> {
    const { use, outcome } = holding
    try {
      if (outcome?.keepsKey) await store.end(use, outcome.answer)
      else await store.release([use])
      held.delete(use.requestId)
      failing = false
    } catch (error) {
      failed(error)
      waitForDatabase(holding)
    }
  }

  function waitForDatabase(holding: Held): void {
    if (waiting >= waitingMax) {
      // The row stays as it is, is not renewed, and comes to count as used.
      held.delete(holding.use.requestId)
      return
    }
    const { outcome } = holding
    if (outcome?.answer && waitingBytes + outcome.answer.body.length > waitingBytesMax) outcome.answer = undefined
    waitingBytes += outcome?.answer?.body.length ?? 0
    waiting++
    holding.isWaiting = true
    retryLater()
  }

  function retryLater(): void {
    if (closed || retryTimer) return
    retryTimer = setTimeout(() => {
      retrying = retry().finally(() => {
        retrying = undefined
        retryTimer = undefined
        if (waiting > 0) retryLater()
      })
    }, retryMs)
    retryTimer.unref()
  }

  /** Offers what waits to the database again, until the first refusal. */
  async function retry(): Promise<void> {
    const all = [...held.values()].filter(({ isWaiting }) => isWaiting)
    const released = all.filter(({ outcome }) => !outcome?.keepsKey)
    try {
      if (released.length > 0) await store.release(released.map(({ use }) => use))
      for (const holding of released) written(holding)
      for (const holding of all) {
        if (!holding.outcome?.keepsKey) continue
        await store.end(holding.use, holding.outcome.answer)
        written(holding)
      }
      failing = false
    } catch (error) {
      failed(error)
    }
  }

  function written({ use, outcome }: Held): void {
    held.delete(use.requestId)
    waiting--
    waitingBytes -= outcome?.answer?.body.length ?? 0
  }

  async function renew(): Promise<void> {
    if (held.size === 0) return
    try {
      await store.renew([...held.values()].map(({ use }) => use))
    } catch (error) {
      failed(error)
    }
  }

  return {
    async begin(call, { key, target }, sink) {
      const use = {
        apiKeyId: call.caller.keyId,
        idempotencyKey: key,
        requestId: call.requestId,
        fingerprint: fingerprintOf(target, call.request.bytes),
      }
      const name = nameOf(use)
      await writing.get(name)
      const neighbour = running.get(name)
      if (neighbour && (await neighbour.claimed) && running.get(name) === neighbour) {
        throw neighbour.use.fingerprint.equals(use.fingerprint) ? inProgress() : mismatch(neighbour.use.requestId)
      }
      for (let claims = 0; claims < claimsMax; claims++) {
        if (await claim(use)) return claimOf(use, call, sink)
        const earlier = await find(use)
        if (!earlier) continue
        const refusal = refusalOf(earlier, answerBytesMax !== undefined)
        if (refusal) throw refusal
        if (earlier.answer) sink.replay(earlier.answer)
        return undefined
      }
      throw inProgress()
    },

    async close() {
      closed = true
      clearInterval(renewTimer)
      clearTimeout(retryTimer)
      await Promise.all([...writing.values(), renewing, retrying])
      if (waiting > 0) await retry()
      if (waiting > 0) log.warn({ keys: waiting }, 'Idempotency keys could not be written; they will count as used.')
    },
  }
}

const nameOf = ({ apiKeyId, idempotencyKey }: KeyUse): string => `${apiKeyId} ${idempotencyKey}`

/** @returns undefined when the stored answer is to be given */
function refusalOf({ isSame, state, answer, requestId }: EarlierUse, repeats: boolean): GatewayError | undefined {
  if (!isSame) return mismatch(requestId)
  if (state === 'running') return inProgress()
  if (answer && repeats) return undefined
  return new GatewayError(
    'idempotency_key_reused',
    state === 'abandoned'
      ? `What became of the request that used this Idempotency-Key (${requestId}) is not known; it may have been billed. Use a new key to make the call again.`
      : `This Idempotency-Key was used by the request ${requestId}, which has ended; its answer is not kept. Use a new key to make the call again.`,
  )
}

const mismatch = (requestId: string): GatewayError =>
  new GatewayError(
    'idempotency_key_mismatch',
    `This Idempotency-Key was used for another request (${requestId}): its path or its body was another one. Use a new key for a new request.`,
  )

const inProgress = (): GatewayError =>
  new GatewayError(
    'idempotency_in_progress',
    'A request with this Idempotency-Key is still being answered. Try again when it is done.',
  )
