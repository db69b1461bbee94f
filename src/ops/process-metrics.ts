import { collectDefaultMetrics, type Registry } from 'prom-client'
import { release } from '../release.ts'
import { registerSampled } from './series.ts'

/** Memory, CPU, event loop and garbage collection of this process, and what it is. */
export function registerProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry, prefix: 'llmgw_' })
  registerSampled(
    registry,
    { name: 'llmgw_build_info', help: 'Always 1; the labels say what runs.', type: 'gauge' },
    () => [{ labels: { version: release, node: process.version }, value: 1 }],
  )
}
