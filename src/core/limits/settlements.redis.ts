import type { SharedScopes } from './shared-scopes.ts'

/** What is to be corrected in the shared counters of one request, and the leases to be freed. */
export interface Settlement {
  readonly requestId: string
  readonly scopes: SharedScopes
  /** When it was taken, by the time of Redis. */
  readonly takenMs: number
  /** 1 as if it had never been. */
  readonly requestsBack: 0 | 1
  /** By how much more its tokens were than what was counted; negative for less. */
  readonly tokensExcess: number
}

/** What one call of the script is told. */
export interface ScriptCall {
  keys: string[]
  /** Groups of scopes. */
  groups: string[]
  settlements: string[]
}

/**
 * Puts scopes and settlements in the form of the script. Most settlements are of the callers that are asking, whose
 * scopes need not be told twice.
 *
 * @param asking - the scopes of a new request
 */
export function scriptCall(asking: SharedScopes | undefined, settlements: readonly Settlement[]): ScriptCall {
  const told: SharedScopes[] = []
  const call: ScriptCall = { keys: [], groups: [], settlements: [] }
  const groupOf = (scopes: SharedScopes): number => {
    const known = told.indexOf(scopes)
    if (known >= 0) return known + 1
    call.keys.push(...scopes.keys)
    call.groups.push(scopes.description)
    return told.push(scopes)
  }
  if (asking) groupOf(asking)
  for (const { requestId, scopes, takenMs, requestsBack, tokensExcess } of settlements) {
    call.settlements.push(`${requestId} ${takenMs} ${groupOf(scopes)} ${requestsBack} ${tokensExcess}`)
  }
  return call
}

/** A settlement whose outcome is unknown is not repeated, but for what may be done twice: the leases. */
export const leasesAlone = (settlement: Settlement): Settlement => ({ ...settlement, requestsBack: 0, tokensExcess: 0 })
