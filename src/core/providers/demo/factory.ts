import type { ProviderFactory } from '../provider-factory.ts'
import { createDemoProvider } from './provider.ts'

export const createDemo: ProviderFactory = ({ name, settings, timeouts }) => {
  const { tokensPerSecond, latencyMs } = settings as { tokensPerSecond: number; latencyMs: number }
  return createDemoProvider({ name, tokensPerSecond, latencyMs, totalTimeoutMs: timeouts.totalMs })
}
