import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { GatewayError } from '../errors.ts'
import type { AnswerSink, Call } from '../inference/call.ts'
import { Cancellation } from '../inference/cancellation.ts'
import type { AnswerRecording } from './answer-recording.ts'
import { type Claim, openIdempotency } from './idempotency.ts'
import type { IdempotencyKeyStore, KeyUse } from './idempotency-keys.store.ts'
import type { StoredAnswer, WrittenAnswer } from './stored-answer.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

const renewMs = 15_000
const retryMs = 1_000
const mebibyte = 1024 * 1024

interface Row {
  requestId: string
  state: 'running' | 'ended'
  fingerprint: Buffer
  answer: WrittenAnswer | undefined
}

/** A store in memory that can be away, and says what it was asked. */
function openBench({ answerBytesMax }: { answerBytesMax?: number } = {}) {
  const rows = new Map<string, Row>()
  const renewed: string[][] = []
  const warnings: string[] = []
  const state = { isAway: false, losesReplies: false, statements: 0 }
  const asked = <T>(work: () => T): Promise<T> => {
    state.statements++
    if (state.isAway) return Promise.reject(new Error('away'))
    const result = work()
    return state.losesReplies ? Promise.reject(new Error('reply lost')) : Promise.resolve(result)
  }
  const ours = (use: KeyUse): Row | undefined => {
    const row = rows.get(use.idempotencyKey)
    return row?.requestId === use.requestId ? row : undefined
  }
  const store: IdempotencyKeyStore = {
    claim: (use) =>
      asked(() => {
        if (rows.has(use.idempotencyKey)) return false
        const { requestId, fingerprint } = use
        rows.set(use.idempotencyKey, { requestId, fingerprint, state: 'running', answer: undefined })
        return true
      }),
    find: (use) =>
      asked(() => {
        const row = rows.get(use.idempotencyKey)
        if (!row) return undefined
        const answer = row.answer && { ...row.answer, requestId: row.requestId }
        return { ...row, answer, isSame: row.fingerprint.equals(use.fingerprint) }
      }),
    renew: (uses) => asked(() => void renewed.push(uses.map(({ requestId }) => requestId))),
    release: (uses) =>
      asked(() => {
        for (const use of uses) if (ours(use)) rows.delete(use.idempotencyKey)
      }),
    end: (use, answer) =>
      asked(() => {
        const row = ours(use)
        if (row) Object.assign(row, { state: 'ended', answer })
      }),
    deleteExpired: () => Promise.resolve(0),
  }
  const idempotency = openIdempotency({
    store,
    answerBytesMax,
    renewMs,
    retryMs,
    log: { debug() {}, info() {}, warn: (_fields, message) => void warnings.push(message), error() {} },
  })
  let calls = 0
  /** One request: its claim, and what its sink was given. */
  const begin = async (key: string, body = '{}') => {
    const requestId = `request-${++calls}`
    const recordings: AnswerRecording[] = []
    const replays: StoredAnswer[] = []
    const cancellation = new Cancellation()
    // Of a call and a sink nothing else is looked at.
    const call = {
      requestId,
      caller: { keyId: 'key' },
      request: { bytes: Buffer.from(body) },
      cancellation,
    } as unknown as Call
    const sink = {
      record: (recording: AnswerRecording) => void recordings.push(recording),
      replay: (answer: StoredAnswer) => void replays.push(answer),
    } as unknown as AnswerSink
    const claim = await idempotency.begin(call, { key, target: 'POST /v1/embeddings' }, sink)
    return { requestId, claim: claim as Claim, recording: recordings[0], replays, cancellation }
  }
  return { idempotency, begin, rows, renewed, warnings, state }
}

function answered(recording: AnswerRecording | undefined, body: string | Buffer): void {
  recording?.start(200, 'application/json')
  recording?.bytes(Buffer.from(body))
  recording?.end()
}

const refusal = (code: string) => expect.objectContaining({ code })

test('who comes with the key of a claim that is just being given back waits, and gets it', async () => {
  const { begin } = openBench()
  const first = await begin('k')
  const releasing = first.claim.release()
  const second = begin('k')
  await releasing
  expect((await second).claim).toBeDefined()
})

test('who comes while an answer is being stored gets that answer', async () => {
  const { begin } = openBench({ answerBytesMax: 100 })
  const first = await begin('k')
  answered(first.recording, 'whole')
  const ending = first.claim.end()
  const second = begin('k', ' {  } ')
  await ending
  expect((await second).replays).toEqual([
    { requestId: first.requestId, status: 200, contentType: 'application/json', body: Buffer.from('whole') },
  ])
})

test('of many that come at once one asks the database, and speaks for all', async () => {
  const { begin, state } = openBench()
  const outcomes = await Promise.allSettled(Array.from({ length: 50 }, () => begin('k')))
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  for (const outcome of outcomes)
    if (outcome.status === 'rejected') expect(outcome.reason).toEqual(refusal('idempotency_in_progress'))
  await expect(begin('k', '[]')).rejects.toEqual(refusal('idempotency_key_mismatch'))
  expect(state.statements).toBe(1)
})

test('of many that come while the database is away one asks it', async () => {
  const { begin, rows, state } = openBench()
  state.isAway = true
  const outcomes = await Promise.allSettled(Array.from({ length: 50 }, () => begin('k')))
  for (const outcome of outcomes) expect(outcome).toEqual({ status: 'rejected', reason: refusal('limits_unavailable') })
  expect(state.statements).toBe(1)
  state.isAway = false
  expect((await begin('k')).claim).toBeDefined()
  expect(rows.size).toBe(1)
})

test('of many that come while another replica has the key each is told what the database says', async () => {
  const { begin, rows } = openBench()
  const { requestId } = await begin('elsewhere')
  const row = rows.get('elsewhere') as Row
  rows.set('k', { ...row, requestId: 'of another replica' })
  const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => begin('k')))
  for (const outcome of outcomes)
    expect(outcome).toEqual({ status: 'rejected', reason: refusal('idempotency_in_progress') })
  rows.delete('k')
  expect((await begin('k')).requestId).not.toBe(requestId)
})

test('nothing is recorded where no answers are kept', async () => {
  const { begin } = openBench()
  expect((await begin('k')).recording).toBeUndefined()
})

test('an answer that was cut off by a shutdown is not kept, one that ran out of time is', async () => {
  const { begin, rows } = openBench({ answerBytesMax: 100 })
  for (const [key, code, isKept] of [
    ['k1', 'server_shutting_down', false],
    ['k2', 'provider_timeout', true],
  ] as const) {
    const call = await begin(key)
    answered(call.recording, 'an error')
    call.cancellation.cancel(new GatewayError(code, 'Over.'))
    await call.claim.end()
    expect(rows.get(key)?.state).toBe('ended')
    expect(rows.get(key)?.answer !== undefined).toBe(isKept)
  }
})

test('claims are renewed for as long as they are held, also while the database is told of their end', async () => {
  const { begin, renewed, state } = openBench()
  const [one, two] = [await begin('k1'), await begin('k2')]
  await vi.advanceTimersByTimeAsync(renewMs)
  expect(renewed.at(-1)).toEqual([one.requestId, two.requestId])
  await one.claim.end()
  await vi.advanceTimersByTimeAsync(renewMs)
  expect(renewed.at(-1)).toEqual([two.requestId])
  await two.claim.release()
  await vi.advanceTimersByTimeAsync(renewMs)
  expect(renewed).toHaveLength(2)
  expect(state.statements).toBe(2 + 2 + 2)
})

test('an end that the database did not take is told again, and so is a release', async () => {
  const { begin, rows, state, warnings } = openBench({ answerBytesMax: 100 })
  const [one, two] = [await begin('k1'), await begin('k2')]
  answered(one.recording, 'kept')
  state.isAway = true
  await Promise.all([one.claim.end(), two.claim.release()])
  expect([rows.get('k1')?.state, rows.get('k2')?.state]).toEqual(['running', 'running'])
  await vi.advanceTimersByTimeAsync(3 * retryMs)
  state.isAway = false
  await vi.advanceTimersByTimeAsync(retryMs)
  expect(rows.get('k1')?.answer?.body.toString()).toBe('kept')
  expect(rows.has('k2')).toBe(false)
  // Said once, however often it was tried.
  expect(warnings).toHaveLength(1)
  const { statements } = state
  await vi.advanceTimersByTimeAsync(10 * retryMs)
  expect(state.statements).toBe(statements)
})

test('a claim of which nobody knows whether it was made is given back', async () => {
  const { begin, rows, state } = openBench()
  state.losesReplies = true
  await expect(begin('k')).rejects.toEqual(refusal('limits_unavailable'))
  expect(rows.get('k')?.state).toBe('running')
  state.losesReplies = false
  await expect(begin('k')).rejects.toEqual(refusal('idempotency_in_progress'))
  await vi.advanceTimersByTimeAsync(retryMs)
  expect((await begin('k')).claim).toBeDefined()
})

test('a claim that was given back late takes nothing from whoever has the key by then', async () => {
  const { begin, rows, state } = openBench()
  const first = await begin('k')
  state.isAway = true
  await first.claim.release()
  state.isAway = false
  rows.delete('k') // its time was over
  const second = await begin('k')
  await vi.advanceTimersByTimeAsync(retryMs)
  expect(rows.get('k')?.requestId).toBe(second.requestId)
})

test('answers that wait for the database are bounded; what is beyond counts as used all the same', async () => {
  const { begin, rows, state } = openBench({ answerBytesMax: mebibyte })
  const calls = await Promise.all(Array.from({ length: 20 }, (_, index) => begin(`k${index}`)))
  state.isAway = true
  for (const { recording, claim } of calls) {
    answered(recording, Buffer.alloc(mebibyte))
    await claim.end()
  }
  state.isAway = false
  await vi.advanceTimersByTimeAsync(retryMs)
  const all = [...rows.values()]
  expect(all.every((row) => row.state === 'ended')).toBe(true)
  expect(all.filter(({ answer }) => answer !== undefined)).toHaveLength(16)
})

test('a database that is away for long costs no more than so much memory', async () => {
  const { begin, rows, state, renewed } = openBench()
  state.losesReplies = true
  for (let index = 0; index < 10_005; index++) {
    await expect(begin(`k${index}`)).rejects.toEqual(refusal('limits_unavailable'))
  }
  state.losesReplies = false
  await vi.advanceTimersByTimeAsync(retryMs)
  expect(rows.size).toBe(5)
  await vi.advanceTimersByTimeAsync(renewMs)
  expect(renewed).toEqual([])
})

test('what waits is offered once more before the end, and then the process may go', async () => {
  const { begin, idempotency, rows, state } = openBench()
  const [one, two] = [await begin('k1'), await begin('k2')]
  state.isAway = true
  await Promise.all([one.claim.release(), two.claim.end()])
  state.isAway = false
  await idempotency.close()
  expect(rows.has('k1')).toBe(false)
  expect(rows.get('k2')?.state).toBe('ended')
  expect(vi.getTimerCount()).toBe(0)
})

test('an end that the database never takes is said at the end', async () => {
  const { begin, idempotency, state, warnings } = openBench()
  const { claim } = await begin('k')
  state.isAway = true
  await claim.end()
  await idempotency.close()
  expect(warnings.at(-1)).toContain('count as used')
  expect(vi.getTimerCount()).toBe(0)
})
