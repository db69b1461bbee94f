import { holds, type Principal, scopeOf } from '../../core/access/principal.ts'
import type { EventBus } from '../../core/events/event-bus.ts'
import type { Log } from '../../core/log.ts'
import { type RecordedCall, recordedCallsIn, watchedMs } from '../../core/usage/recorded-calls.ts'
import type { RecordFilter, ReportedCall, UsageReports } from '../../core/usage/usage-reports.store.ts'
import type { Mailbox } from './mailbox.ts'
import { Subscribers } from './subscribers.ts'

/** Calls as they are recorded, by whichever replica. What happens while the event bus is away is not told afterwards. */
export interface RecordedUsageFeed {
  subscribe(viewer: Principal, filter: RecordFilter, slow: { tooSlow(): void }): Mailbox<ReportedCall>
  close(): void
}

export interface RecordedUsageFeedDeps {
  usage: Pick<UsageReports, 'recordsByKey'>
  events: EventBus
  log: Log
}

/** Calls are read together for so long, and once for all subscribers. */
const gatherMs = 250
const callsPerRead = 500

export function createRecordedUsageFeed({ usage, events, log }: RecordedUsageFeedDeps): RecordedUsageFeed {
  let waiting: RecordedCall[] = []
  let gathering: NodeJS.Timeout | undefined
  let reminding: NodeJS.Timeout | undefined
  let reading: Promise<void> = Promise.resolve()

  const remind = (): void => events.publish({ type: 'usage-watched' })
  const subscribers = new Subscribers<ReportedCall, { viewer: Principal; filter: RecordFilter }>((count) => {
    if (count === 0) {
      clearInterval(reminding)
      reminding = undefined
    } else if (!reminding) {
      remind()
      reminding = setInterval(remind, watchedMs / 3)
      reminding.unref()
    }
  })

  const read = async (): Promise<void> => {
    gathering = undefined
    while (waiting.length > 0) {
      const calls = waiting.splice(0, callsPerRead)
      try {
        const rows = await usage.recordsByKey(calls)
        subscribers.tell(({ viewer, filter }) => rows.filter((row) => isVisible(viewer, row) && matches(filter, row)))
      } catch (error) {
        log.warn({ err: error }, 'Calls that were recorded could not be read for those who watch.')
      }
    }
  }
  const unsubscribe = events.subscribe((event) => {
    if (event.type !== 'usage-recorded' || subscribers.size === 0) return
    waiting.push(...recordedCallsIn(event.calls))
    gathering ??= setTimeout(() => {
      reading = reading.then(read)
    }, gatherMs).unref()
  })

  return {
    subscribe: (viewer, filter, slow) => subscribers.add({ viewer, filter }, slow),
    close() {
      unsubscribe()
      clearTimeout(gathering)
      waiting = []
      subscribers.close()
    },
  }
}

const isVisible = ({ grants }: Principal, { organizationId, teamId }: ReportedCall): boolean =>
  holds(grants, 'viewer', scopeOf(organizationId, teamId))

/** As the query of lists would have it. */
function matches(filter: RecordFilter, call: ReportedCall): boolean {
  const { since, until, tag, failed, costAtLeastNano } = filter
  const equal = [
    'organizationId',
    'teamId',
    'keyId',
    'provider',
    'model',
    'alias',
    'finish',
    'errorCode',
    'clientRequestId',
  ] as const
  return (
    equal.every((name) => filter[name] === undefined || filter[name] === call[name]) &&
    (since === undefined || call.reservedAt >= since) &&
    (until === undefined || call.reservedAt < until) &&
    (tag === undefined || call.tags[tag.name] === tag.value) &&
    (failed === undefined || failed === (call.errorCode !== null)) &&
    (costAtLeastNano === undefined || BigInt(call.costNano) >= costAtLeastNano)
  )
}
