import type { Log } from '../log.ts'
import type { EventListener, EventOrigin, GatewayEvent } from './event-bus.ts'

/** Whoever listens on a bus. A listener that throws is a fault of its own, not of the others' nor of the publisher's. */
export interface EventListeners {
  subscribe(listener: EventListener): () => void
  onGap(listener: () => void): () => void
  tell(event: GatewayEvent, origin: EventOrigin): void
  tellGap(): void
  clear(): void
}

export function createEventListeners(log: Log): EventListeners {
  // By what was returned, for the same function may listen twice.
  const listeners = new Map<object, EventListener>()
  const gapListeners = new Map<object, () => void>()
  const add = <Listener>(map: Map<object, Listener>, listener: Listener): (() => void) => {
    const subscription = {}
    map.set(subscription, listener)
    return () => void map.delete(subscription)
  }
  const attempt = (call: () => void): void => {
    try {
      call()
    } catch (error) {
      log.error({ err: error }, 'A listener for events failed.')
    }
  }
  return {
    subscribe: (listener) => add(listeners, listener),
    onGap: (listener) => add(gapListeners, listener),
    tell(event, origin) {
      for (const listener of [...listeners.values()]) attempt(() => listener(event, origin))
    },
    tellGap() {
      for (const listener of [...gapListeners.values()]) attempt(listener)
    },
    clear() {
      listeners.clear()
      gapListeners.clear()
    },
  }
}
