/** A budget and the calls that count against it, as their clients saw them. */
export interface SpentBudget {
  scopeId: string
  limitNano: bigint
  calls: readonly BudgetedCall[]
}

export interface BudgetedCall {
  /** When its client sent it, and when the answer had come to its end. */
  startMs: number
  endMs: number
  /** What was reserved for it meanwhile, if it was admitted. */
  worstNano: bigint
  /** Zero when it was refused. */
  costNano: bigint
}

export interface RefusedCall {
  refusedMs: number
  worstNano: bigint
  /** Whose budgets it counts against. */
  scopeIds: readonly string[]
}

/**
 * For how long, at most, every budget of a refused call had room for it, without a break, up to the moment at which it
 * was refused. Counted from outside, and in the gateway's favour: an admitted call takes its worst case from the moment
 * its client sent it until the client has the answer, and what it cost from then on.
 */
export function longestIdleBeforeRefusal(
  budgets: readonly SpentBudget[],
  refused: readonly RefusedCall[],
): { longestMs: number } {
  let longestMs = 0
  for (const call of refused) {
    const roomSince = budgets
      .filter(({ scopeId }) => call.scopeIds.includes(scopeId))
      .map((budget) => roomSinceMs(budget, call))
    // Room is needed everywhere at once.
    longestMs = Math.max(longestMs, call.refusedMs - Math.max(...roomSince))
  }
  return { longestMs }
}

/** Since when there has been room for it without a break; the moment of the refusal when there was none. */
function roomSinceMs({ limitNano, calls }: SpentBudget, { refusedMs, worstNano }: RefusedCall): number {
  const admitted = calls.filter(({ costNano }) => costNano > 0n)
  const takenAt = (atMs: number): bigint =>
    admitted.reduce((sum, call) => {
      if (call.startMs > atMs) return sum
      return sum + (call.endMs > atMs ? call.worstNano : call.costNano)
    }, 0n)
  // What is taken changes where a call begins and where one ends, so these are the moments to look at.
  const moments = admitted
    .flatMap((call) => [call.startMs, call.endMs])
    .filter((atMs) => atMs < refusedMs)
    .sort((a, b) => b - a)
  if (takenAt(refusedMs) + worstNano > limitNano) return refusedMs
  let sinceMs = refusedMs
  for (const atMs of moments) {
    // What holds from this moment to the next one has been looked at; now what holds just before it.
    sinceMs = atMs
    if (takenAt(atMs - justBeforeMs) + worstNano > limitNano) break
  }
  return sinceMs
}

const justBeforeMs = 0.000_1
