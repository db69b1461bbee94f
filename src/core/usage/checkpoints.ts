import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { CheckpointStore, UsageCheckpoint } from './checkpoints.store.ts'

/** A call under way, as far as it has come. */
export interface RunningCall {
  /** When it was admitted, by the monotonic clock. */
  readonly startedMs: number
  checkpoint(): UsageCheckpoint
  /** Where it stands among the running calls; theirs to write. */
  slot: number
}

/**
 * Writes down once a second how far long calls have come, so that the loss of this process with its disk loses at most
 * their last second: whoever sweeps up after it finds them, and what they have cost by then. Calls that end within a
 * second, nearly all, are never written here.
 */
export interface Checkpoints {
  started(call: RunningCall): void
  ended(call: RunningCall): void
  statistics(): { running: number; written: number; failures: number }
  close(): Promise<void>
}

export interface CheckpointsDeps {
  store: CheckpointStore
  clock: Clock
  log: Log
  everyMs?: number
  rowsMax?: number
}

export function createCheckpoints({
  store,
  clock,
  log,
  everyMs = 1_000,
  rowsMax = 500,
}: CheckpointsDeps): Checkpoints & { write(): Promise<void> } {
  // An array and not a Set, for the reason given in open-calls.ts.
  const running: RunningCall[] = []
  const counts = { written: 0, failures: 0 }
  let writing: Promise<void> | undefined
  const timer = setInterval(() => {
    writing ??= write().finally(() => {
      writing = undefined
    })
  }, everyMs)
  timer.unref()

  async function write(): Promise<void> {
    const nowMs = clock.monotonicMs()
    const rows = running.filter(({ startedMs }) => nowMs - startedMs >= everyMs).map((call) => call.checkpoint())
    for (let from = 0; from < rows.length; from += rowsMax) {
      try {
        await store.write(rows.slice(from, from + rowsMax))
        counts.written += Math.min(rowsMax, rows.length - from)
      } catch (error) {
        if (counts.failures++ === 0) log.warn({ err: error }, 'Calls under way could not be checkpointed.')
        return // the journal has their intents; the next second tries again
      }
      counts.failures = 0
    }
  }

  return {
    started(call) {
      call.slot = running.length
      running.push(call)
    },
    ended(call) {
      if (running[call.slot] !== call) return
      const last = running.pop() as RunningCall
      if (last === call) return
      running[call.slot] = last
      last.slot = call.slot
    },
    statistics: () => ({ running: running.length, ...counts }),
    write,
    async close() {
      clearInterval(timer)
      await writing
    },
  }
}
