import type { LimitRequest } from './limiter.ts'
import type { SharedScopes } from './shared-scopes.ts'

/** A new request that the script is to decide about. */
export interface Asked {
  readonly request: LimitRequest
  readonly scopes: SharedScopes
}

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
  /** As its head in `limiter.lua` describes it. */
  told: string
}

/**
 * Puts requests and settlements of one organization in the form of the script. Who asks and who settles are mostly the
 * same few callers, whose scopes are told once.
 *
 * One argument of text, for each argument costs driver and server about as much as everything that is in it.
 *
 * @param nowMs - the time, or 0 for that of Redis
 * @param look - only what is taken of these is to be told
 */
export function scriptCall(
  nowMs: number,
  asked: readonly Asked[],
  settlements: readonly Settlement[],
  look?: SharedScopes,
): ScriptCall {
  const groups: SharedScopes[] = look ? [look] : []
  const groupOf = (scopes: SharedScopes): number => groups.indexOf(scopes) + 1 || groups.push(scopes)
  let over = ''
  for (const { requestId, scopes, takenMs, requestsBack, tokensExcess } of settlements) {
    if (over !== '') over += ','
    over += `${JSON.stringify(requestId)},${takenMs},${groupOf(scopes)},${requestsBack},${tokensExcess}`
  }
  let news = ''
  for (const { request, scopes } of asked) {
    if (news !== '') news += ','
    news += `${JSON.stringify(request.requestId)},${groupOf(scopes)},${request.tokens}`
  }
  let descriptions = ''
  const keys: string[] = []
  for (const scopes of groups) {
    descriptions += descriptions === '' ? scopes.description : `,${scopes.description}`
    for (const key of scopes.keys) keys.push(key)
  }
  return { keys, told: `[${nowMs},[${descriptions}],[${over}],[${news}],${look ? 1 : 0}]` }
}

/** A settlement whose outcome is unknown is not repeated, but for what may be done twice: the leases. */
export const leasesAlone = (settlement: Settlement): Settlement => ({ ...settlement, requestsBack: 0, tokensExcess: 0 })
