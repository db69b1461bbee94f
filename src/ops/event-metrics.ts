import type { Registry } from 'prom-client'
import type { EventBus, EventBusHealth } from '../core/events/event-bus.ts'
import { registerSampled } from './series.ts'

/** Whether replicas hear from each other. */
export function registerEventMetrics(registry: Registry, events: Pick<EventBus, 'health'>): void {
  const series: [name: string, help: string, type: 'counter' | 'gauge', read: (health: EventBusHealth) => number][] = [
    [
      'llmgw_events_connected',
      '0 while events of others do not arrive.',
      'gauge',
      (health) => Number(health.connected),
    ],
    ['llmgw_events_gaps_total', 'How often events may have been missed.', 'counter', (health) => health.gaps],
    ['llmgw_events_malformed_total', 'Messages that were none of ours.', 'counter', (health) => health.malformed],
    ['llmgw_events_unsent_total', 'Events that others were not told.', 'counter', (health) => health.unsent],
  ]
  for (const [name, help, type, read] of series) {
    registerSampled(registry, { name, help, type }, () => [{ labels: {}, value: read(events.health()) }])
  }
}
