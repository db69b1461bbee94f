import type { Log } from '../log.ts'
import type { EventBus } from './event-bus.ts'
import { createEventListeners } from './event-listeners.ts'

/** For a gateway that is alone: there is nobody else to tell. */
export function createMemoryEventBus({ replica, log }: { replica: string; log: Log }): EventBus {
  const listeners = createEventListeners(log)
  const origin = { replica, local: true }
  return {
    publish: (event) => listeners.tell(event, origin),
    subscribe: listeners.subscribe,
    onGap: listeners.onGap,
    health: () => ({ connected: true, lastHeardMs: 0, gaps: 0, malformed: 0, unsent: 0 }),
    async close() {
      listeners.clear()
    },
  }
}
