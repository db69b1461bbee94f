import { monitorEventLoopDelay } from 'node:perf_hooks'
import { getHeapStatistics } from 'node:v8'

/** Says when this replica has more to do than it can: new inference is refused, running streams go on. */
export interface OverloadGuard {
  isOverloaded(requestsInFlight: number): boolean
  close(): void
}

export interface OverloadLimits {
  /** Sustained over `sustainedMs` before it counts. */
  eventLoopDelayP99Ms: number
  sustainedMs: number
  heapShare: number
  requestsInFlight: number
  /** How long pressure must be gone before new work is taken again. */
  recoveryMs: number
}

export const overloadLimitsDefault: OverloadLimits = {
  eventLoopDelayP99Ms: 200,
  sustainedMs: 5_000,
  heapShare: 0.85,
  requestsInFlight: 10_000,
  recoveryMs: 10_000,
}

/** What is measured every second; injected in tests. */
export interface Pressure {
  eventLoopDelayP99Ms: number
  heapShare: number
}

const sampleMs = 1_000

export function createOverloadGuard(
  limits: OverloadLimits,
  nowMs: () => number,
  source: { sample(): Pressure; close(): void } = processPressure(),
): OverloadGuard & { sample(): void } {
  let pressureSinceMs: number | undefined
  let overloadedUntilMs = Number.NEGATIVE_INFINITY
  const sample = (): void => {
    const { eventLoopDelayP99Ms, heapShare } = source.sample()
    const now = nowMs()
    if (heapShare > limits.heapShare) overloadedUntilMs = now + limits.recoveryMs
    if (eventLoopDelayP99Ms <= limits.eventLoopDelayP99Ms) {
      pressureSinceMs = undefined
      return
    }
    pressureSinceMs ??= now
    if (now - pressureSinceMs >= limits.sustainedMs) overloadedUntilMs = now + limits.recoveryMs
  }
  const timer = setInterval(sample, sampleMs)
  timer.unref()
  return {
    isOverloaded: (inFlight) => inFlight >= limits.requestsInFlight || nowMs() < overloadedUntilMs,
    sample,
    close() {
      clearInterval(timer)
      source.close()
    },
  }
}

function processPressure(): { sample(): Pressure; close(): void } {
  const histogram = monitorEventLoopDelay({ resolution: 20 })
  histogram.enable()
  return {
    sample() {
      const eventLoopDelayP99Ms = histogram.percentile(99) / 1e6
      histogram.reset()
      const heap = getHeapStatistics()
      return { eventLoopDelayP99Ms, heapShare: heap.used_heap_size / heap.heap_size_limit }
    },
    close: () => void histogram.disable(),
  }
}
