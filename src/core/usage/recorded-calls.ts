import type { Clock } from '../clock.ts'
import type { EventBus } from '../events/event-bus.ts'

/** Which calls were recorded just now, told to whoever watches, on whichever replica; while nobody does, to nobody. */
export interface RecordedCalls {
  /** @param records - UTF-8 JSON, as `UsageStore.apply` takes it */
  announce(records: Buffer): void
  close(): void
}

/** What tells a call from all others, and in which partition it lies. */
export interface RecordedCall {
  requestId: string
  /** ISO 8601, or as PostgreSQL writes it. */
  reservedAtText: string
}

/** Whoever watches says so again before this is over. */
export const watchedMs = 15_000
const callsPerEvent = 100

export function createRecordedCalls(events: EventBus, { monotonicMs }: Pick<Clock, 'monotonicMs'>): RecordedCalls {
  let watchedUntilMs = Number.NEGATIVE_INFINITY
  const unsubscribe = events.subscribe((event) => {
    if (event.type === 'usage-watched') watchedUntilMs = monotonicMs() + watchedMs
  })
  return {
    announce(records) {
      if (monotonicMs() > watchedUntilMs) return
      const rows: { request_id: string; reserved_at: string }[] = JSON.parse(records.toString('utf8'))
      for (let at = 0; at < rows.length; at += callsPerEvent) {
        const calls = rows.slice(at, at + callsPerEvent).map((row) => `${row.request_id} ${row.reserved_at}`)
        events.publish({ type: 'usage-recorded', calls: calls.join('\n') })
      }
    },
    close: unsubscribe,
  }
}

/** Reads what an event says. */
export const recordedCallsIn = (calls: string): RecordedCall[] =>
  calls.split('\n').map((line) => ({ requestId: line.slice(0, 36), reservedAtText: line.slice(37) }))
