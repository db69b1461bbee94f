import type { EventBus } from '../../core/events/event-bus.ts'
import type { UpstreamStatus } from '../../core/health/upstream-status.ts'
import type { Mailbox } from './mailbox.ts'
import { Subscribers } from './subscribers.ts'

/** Changes of what any process of any replica has learned of a provider. */
export interface ProviderHealthFeed {
  subscribe(slow: { tooSlow(): void }): Mailbox<ProviderHealthChange>
  close(): void
}

export interface ProviderHealthChange {
  replica: string
  process: string
  status: UpstreamStatus
}

export interface ProviderHealthFeedDeps {
  events: EventBus
  /** Of this start. */
  upstreams(): readonly { process: string; upstreams: readonly UpstreamStatus[] }[]
  pollMs?: number
}

/** Looks at the processes of this start, and tells all replicas what has changed there. */
export function createProviderHealthFeed({
  events,
  upstreams,
  pollMs = 2_000,
}: ProviderHealthFeedDeps): ProviderHealthFeed {
  const subscribers = new Subscribers<ProviderHealthChange, undefined>()
  const before = new Map<string, string>()
  const look = (): void => {
    for (const { process, upstreams: known } of upstreams()) {
      for (const status of known) {
        const name = `${process} ${status.provider}`
        const state = stateOf(status)
        // What nobody has seen before is no change unless something is wrong with it.
        const isChange = before.has(name) ? before.get(name) !== state : state !== untroubled
        before.set(name, state)
        if (isChange) events.publish({ type: 'provider-health-changed', process, status: JSON.stringify(status) })
      }
    }
  }
  const timer = setInterval(look, pollMs)
  timer.unref()
  const unsubscribe = events.subscribe((event, { replica }) => {
    if (event.type !== 'provider-health-changed' || subscribers.size === 0) return
    const change = { replica, process: event.process, status: JSON.parse(event.status) as UpstreamStatus }
    subscribers.tell(() => [change])
  })
  return {
    subscribe: (slow) => subscribers.add(undefined, slow),
    close() {
      clearInterval(timer)
      unsubscribe()
      subscribers.close()
    },
  }
}

/** How many calls there were does not matter, and what became of them does. */
const stateOf = ({ credential, modelsInTrouble }: UpstreamStatus): string =>
  JSON.stringify([credential, modelsInTrouble.map(({ model, circuit, coolingDown }) => [model, circuit, coolingDown])])

const untroubled = JSON.stringify(['accepted', []])
