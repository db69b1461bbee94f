import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { Journal } from './journal.ts'
import { frameBytesBound, writeFrame } from './journal-frame.ts'
import { createJournalTail } from './journal-tail.ts'
import { type AppliedBatch, blame, type UsageStore } from './usage.store.ts'
import { createUsageBatch } from './usage-batch.ts'
import type { UsageEnd } from './usage-record.ts'

/**
 * Moves end records from the journal's files to the database, in the order they were written. Live traffic, the
 * backlog of an outage and what a crash left are one path, and what waits, waits on disk.
 */
export interface UsageWriter {
  stats(): UsageWriterStats
  /**
   * Applies what the journal holds, as much as fits, without regard to the rate limit.
   *
   * @returns how many end records are still only in the journal; they are safe there
   */
  flush(deadlineMs: number): Promise<number>
  /** As `flush`, then stops. Never waits longer than the deadline, whatever the database does. */
  close(deadlineMs: number): Promise<number>
}

export interface UsageWriterStats {
  /** Records whose rows this process made terminal. */
  applied: number
  /** Records that changed nothing, since their rows were terminal already: replays. */
  repeated: number
  /** Records set aside because the database can never take them, or because the journal was damaged. */
  refused: number
  damaged: number
  batches: number
  /** Milliseconds for which the oldest end record has waited at most; 0 when none waits. */
  lagMs: number
  /** Milliseconds the last statement took. */
  statementMs: number
  failuresInARow: number
  lastError: string | undefined
}

export interface UsageWriterSettings {
  /** Longest time from the write to the journal until the statement is sent. */
  batchDelayMs: number
  batchRows: number
  /** How fast a backlog is replayed, beside the live flow: every record written meanwhile adds to the allowance. */
  replayRowsPerSecond: number
  /** A backlog that would take longer at that rate is replayed faster, so that it is gone by then. */
  catchUpMs: number
  retryDelayMs: number
  retryDelayMsMax: number
}

export const usageWriterDefaults: UsageWriterSettings = {
  batchDelayMs: 40,
  batchRows: 500,
  replayRowsPerSecond: 500,
  catchUpMs: 240_000,
  retryDelayMs: 100,
  retryDelayMsMax: 5_000,
}

export interface UsageWriterDeps {
  journal: Journal
  store: UsageStore
  clock: Clock
  log: Log
  /** Told of every batch that the database has taken, and what it was of, which may change afterwards; must not throw. */
  applied?: ((batch: AppliedBatch, records: Buffer) => void) | undefined
  /** Resolves (never rejects) once recovery knows what earlier runs left; nothing is applied before. */
  recovered?: Promise<void>
  settings?: Partial<UsageWriterSettings> | undefined
  random?: () => number
}

export function createUsageWriter(deps: UsageWriterDeps): UsageWriter {
  const { journal, store, clock, log, recovered, random = Math.random } = deps
  const settings = { ...usageWriterDefaults, ...deps.settings }
  const tail = createJournalTail({ journal, log })
  const batch = createUsageBatch()
  const counts = { applied: 0, repeated: 0, refused: 0, batches: 0, statementMs: 0, failuresInARow: 0 }
  let lastError: string | undefined
  /** When batches were read, and how many records had been appended by then: what `lagMs` is told from. */
  const marks: { readMs: number; appendedEnds: number }[] = []
  let appliedUntilMs = clock.monotonicMs()
  let replay: { startMs: number; appendedBefore: number; rowsPerSecond: number; rows: number } | undefined
  let draining = 0
  let stopped = false
  let idle = false
  let wake: (() => void) | undefined
  let batchTimer: NodeJS.Timeout | undefined
  let drained = Promise.withResolvers<void>()

  journal.attach({
    appended(pendingRecords) {
      if (!idle) return
      if (pendingRecords >= settings.batchRows) wake?.()
      else batchTimer ??= setTimeout(() => wake?.(), settings.batchDelayMs)
    },
    healthy: () => counts.failuresInARow === 0,
  })
  const running = run()

  async function run(): Promise<void> {
    await recovered
    startReplay()
    while (!stopped) {
      try {
        await step()
      } catch (error) {
        // What the database says is dealt with where it is asked; this is the file system.
        await failed(error, 'The usage journal could not be read.')
      }
    }
  }

  async function step(): Promise<void> {
    const rows = await allowedRows()
    const readMs = clock.monotonicMs()
    marks.push({ readMs, appendedEnds: journal.stats().appendedEnds })
    const collected = await tail.collect(batch, rows)
    if (batch.size > 0) await deliver(0, batch.size)
    if (stopped) return // the batch may not be applied, but the journal has it
    batch.clear()
    if (collected) {
      journal.applied(collected.segment, collected.offset, collected.rows)
      if (replay) replay.rows += collected.rows
    }
    noteProgress()
    await moreAppended()
  }

  function noteProgress(): void {
    if (tail.atEnd()) {
      const { pendingRecords } = journal.stats()
      // Ends that were damaged on disk were counted when they were appended, and never collected.
      if (pendingRecords > 0) journal.applied(tail.segment, tail.segment.bytes, pendingRecords)
      replay = undefined
      drained.resolve()
      drained = Promise.withResolvers<void>()
    }
    const { appendedEnds, pendingRecords } = journal.stats()
    while (marks[0] && marks[0].appendedEnds <= appendedEnds - pendingRecords) {
      appliedUntilMs = marks[0].readMs
      marks.shift()
    }
  }

  /** Waits until a batch is worth sending: full, or its oldest record as old as it may get. */
  async function moreAppended(): Promise<void> {
    const { pendingRecords } = journal.stats()
    if (stopped || draining > 0 || pendingRecords >= settings.batchRows) return
    const nothingNew = tail.atEnd() && pendingRecords === 0
    idle = true
    await sleep(nothingNew ? undefined : appliedUntilMs + settings.batchDelayMs - clock.monotonicMs())
    idle = false
    clearTimeout(batchTimer)
    batchTimer = undefined
  }

  /** How many rows the next batch may have; waits while a backlog is replayed as fast as it may be. */
  async function allowedRows(): Promise<number> {
    while (replay && draining === 0 && !stopped) {
      const { appendedEnds, pendingRecords } = journal.stats()
      const earned = ((clock.monotonicMs() - replay.startMs) * replay.rowsPerSecond) / 1_000
      const allowance = appendedEnds - replay.appendedBefore + earned - replay.rows
      const wanted = Math.min(settings.batchRows, Math.max(1, pendingRecords))
      if (allowance >= wanted) return Math.min(settings.batchRows, Math.floor(allowance))
      await sleep(Math.min(1_000, ((wanted - allowance) * 1_000) / replay.rowsPerSecond))
    }
    return settings.batchRows
  }

  function startReplay(): void {
    const { appendedEnds, pendingRecords } = journal.stats()
    if (pendingRecords <= settings.batchRows) return
    const rowsPerSecond = Math.max(settings.replayRowsPerSecond, (pendingRecords * 1_000) / settings.catchUpMs)
    replay = { startMs: clock.monotonicMs(), appendedBefore: appendedEnds, rowsPerSecond, rows: 0 }
    log.info({ pendingRecords, rowsPerSecond }, 'A backlog of usage is being replayed.')
  }

  /** Applies records `from` up to `to` of the batch, however often it takes; those that can never be stored are set aside. */
  async function deliver(from: number, to: number): Promise<void> {
    while (!stopped) {
      const startMs = clock.monotonicMs()
      try {
        const records = batch.json(from, to)
        const applied = await store.apply(records)
        deps.applied?.(applied, records)
        delivered(applied.changed, to - from, clock.monotonicMs() - startMs)
        return
      } catch (error) {
        const fault = blame(error)
        if (fault === 'record') return to - from === 1 ? refuse(from, error) : deliverApart(from, to)
        await failed(error, 'Usage could not be written to the database.')
        if (fault === 'time' && to - from > 1) return deliverApart(from, to)
      }
    }
  }

  async function deliverApart(from: number, to: number): Promise<void> {
    const middle = (from + to) >> 1
    await deliver(from, middle)
    await deliver(middle, to)
  }

  /**
   * The database can never take this record as it is. What a call cost must not depend on what a client or a provider
   * wrote into it, so it is applied without their texts if that helps; the record itself is set aside in any case.
   */
  async function refuse(index: number, error: unknown): Promise<void> {
    const { text, position } = batch.record(index)
    const { segment, offset } = position
    const record = JSON.parse(text) as UsageEnd
    const charged = await applyBare(record)
    // Not the error itself: its detail quotes the row, with what clients wrote into it.
    const { code, message } = error as { code?: string; message?: string }
    const fields = { request_id: record.request_id, charged, code, reason: message }
    counts.refused++
    log.error(fields, 'The database cannot take this usage record as it is; it was set aside.')
    const frame = Buffer.alloc(frameBytesBound(text))
    const length = writeFrame(frame, 0, 'end', text)
    try {
      const reason = charged ? 'damaged' : 'refused'
      await journal.setAside(reason, { sequence: segment.sequence, offset }, frame.subarray(0, length))
    } catch (setAsideError) {
      segment.keep = true
      log.error({ ...fields, err: setAsideError }, 'The record could not be set aside; its segment is kept.')
    }
  }

  async function applyBare(record: UsageEnd): Promise<boolean> {
    const texts = { tags: {}, end_user: null, client_request_id: null, provider_response_id: null }
    const json = Buffer.from(JSON.stringify([{ ...record, ...texts, implausible_usage: null }]))
    for (;;) {
      try {
        const applied = await store.apply(json)
        deps.applied?.(applied, json)
        counts.applied += applied.changed
        return true
      } catch (error) {
        if (blame(error) === 'record' || stopped) return false
        await failed(error, 'Usage could not be written to the database.')
      }
    }
  }

  function delivered(changed: number, rows: number, statementMs: number): void {
    counts.applied += changed
    counts.repeated += rows - changed
    counts.batches++
    counts.statementMs = statementMs
    if (counts.failuresInARow === 0) return
    counts.failuresInARow = 0
    log.info({ pendingRecords: journal.stats().pendingRecords }, 'Usage is written to the database again.')
    startReplay()
  }

  async function failed(error: unknown, message: string): Promise<void> {
    counts.failuresInARow++
    lastError = String(error)
    // Once when it begins, once when it does not heal by itself.
    if (counts.failuresInARow === 1) log.warn({ err: error }, message)
    if (counts.failuresInARow === failuresUntilAlert) log.error({ err: error, ...journal.stats() }, message)
    const ceiling = Math.min(settings.retryDelayMsMax, settings.retryDelayMs * 2 ** Math.min(counts.failuresInARow, 16))
    await sleep(random() * ceiling)
  }

  /** Until the time is over or somebody calls `wake`; without a time, until then. */
  function sleep(ms: number | undefined): Promise<void> {
    if (stopped) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = ms === undefined ? undefined : setTimeout(awake, Math.max(0, ms))
      function awake(): void {
        clearTimeout(timer)
        wake = undefined
        resolve()
      }
      wake = awake
    })
  }

  async function flush(deadlineMs: number): Promise<number> {
    journal.flush()
    draining++
    wake?.()
    const deadline = Promise.withResolvers<void>()
    const timer = setTimeout(deadline.resolve, deadlineMs)
    const endMs = clock.monotonicMs() + deadlineMs
    while (!tail.atEnd() || journal.stats().pendingRecords > 0) {
      await Promise.race([drained.promise, deadline.promise])
      if (clock.monotonicMs() >= endMs) break
    }
    clearTimeout(timer)
    draining--
    return journal.stats().pendingRecords
  }

  return {
    stats: () => ({
      ...counts,
      damaged: tail.damaged(),
      lagMs: journal.stats().pendingRecords > 0 ? lagMs() : 0,
      lastError,
    }),
    flush,
    async close(deadlineMs) {
      const endMs = clock.monotonicMs() + deadlineMs
      await flush(deadlineMs)
      stopped = true
      wake?.()
      // A statement may still be under way; whether it commits or not, the journal has its records.
      const deadline = Promise.withResolvers<void>()
      const timer = setTimeout(deadline.resolve, Math.max(0, endMs - clock.monotonicMs()))
      await Promise.race([running, deadline.promise])
      clearTimeout(timer)
      await tail.close()
      return journal.stats().pendingRecords
    },
  }

  function lagMs(): number {
    const { segment } = tail
    const inherited = segment.inherited ? clock.nowMs() - segment.startedAtMs : 0
    return Math.max(inherited, clock.monotonicMs() - appliedUntilMs)
  }
}

const failuresUntilAlert = 10
