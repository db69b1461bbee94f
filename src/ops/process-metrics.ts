import { collectDefaultMetrics, type Registry } from 'prom-client'

/** Memory, CPU, event loop and garbage collection of this process. */
export function registerProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry, prefix: 'llmgw_' })
}
