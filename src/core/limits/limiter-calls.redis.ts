import { readFileSync } from 'node:fs'
import type { GuardedRedis } from '../redis/guarded-redis.ts'
import { createRedisScript } from '../redis/redis-script.redis.ts'
import { type Asked, leasesAlone, type Settlement, scriptCall } from './script-call.ts'
import { type ScriptAnswer, ScriptReply } from './script-reply.ts'
import type { SharedScopes } from './shared-scopes.ts'

export interface LimiterCallsDeps {
  redis: Pick<GuardedRedis, 'run' | 'available'>
  /** Stands in for the time of Redis; for tests alone. */
  redisTimeMs?: (() => number) | undefined
}

/** A request that waits for its decision. */
export interface Asking extends Asked {
  /** @param answer - undefined when none came: the request may be counted in Redis, or not */
  answered(answer: ScriptAnswer | undefined): void
}

/** What is asked of Redis and what it is told, in as few calls of the script as may be. */
export interface LimiterCalls {
  /** Asks at the end of this turn of the event loop, in one call with all others of the organization. */
  ask(asking: Asking): void
  /** Tells with the next call of the organization, or soon without one. Slots are freed even when a call fails. */
  settle(settlement: Settlement): void
  /** Tells again which slots are free where a call has failed. */
  freeAgain(): void
  /** Looks what is taken, after all that was asked and told before. @throws RedisUnavailable */
  look(scopes: SharedScopes): Promise<ScriptReply>
  /** Sends what has been asked and told of an organization. */
  flush(scopes: SharedScopes): void
  /** Sends all that waits; resolves when it has been answered or is given up. */
  close(): Promise<void>
}

/** Settlements wait so long for a request of their organization to go with, or for each other. */
const settlementDelayMs = 2
/** Redis does nothing else while it runs a script, so one call is to take well below a millisecond. */
const askedPerCall = 64
const settlementsPerCall = 100
/** After a call that failed while Redis is there. */
const retryMs = 1_000
/** Leases beyond that, whose end Redis could not be told, are left to run out. */
const unfreedMax = 10_000
/** Lines of organizations that are kept though nothing may wait in them. */
const linesMax = 1_000

/** What waits of one organization, whose keys share a slot of a cluster. */
interface Line {
  asking: Asking[]
  settlements: Settlement[]
}

export function openLimiterCalls({ redis, redisTimeMs }: LimiterCallsDeps): LimiterCalls {
  // Lines stay when they are empty: a Map with much coming and going is dear, for the reason given in
  // core/usage/open-calls.ts.
  const lines = new Map<string, Line>()
  let askingLines: Line[] = []
  let settlingLines: Line[] = []
  let unfreed: Settlement[] = []
  let timer: NodeJS.Timeout | undefined
  let retryTimer: NodeJS.Timeout | undefined
  let sending: Promise<unknown> = Promise.resolve()

  const lineOf = (organizationId: string): Line => {
    const known = lines.get(organizationId)
    if (known) return known
    if (lines.size >= linesMax) lines.clear() // those in which anything waits are in the lists, too
    const made: Line = { asking: [], settlements: [] }
    lines.set(organizationId, made)
    return made
  }

  const ask = (asking: Asking): void => {
    const line = lineOf(asking.scopes.organizationId)
    if (line.asking.push(asking) > 1) return
    if (askingLines.push(line) === 1) setImmediate(sendAsking)
  }
  const settle = (settlement: Settlement): void => {
    const line = lineOf(settlement.scopes.organizationId)
    if (line.settlements.push(settlement) > 1) return
    settlingLines.push(line)
    timer ??= setTimeout(sendAllLater, settlementDelayMs)
  }
  const freeAgain = (): void => {
    clearTimeout(retryTimer)
    retryTimer = undefined
    if (!redis.available) return // its recovery calls here
    for (const settlement of unfreed) settle(settlement)
    unfreed = []
  }
  /** What Redis may not have been told. Corrections are not repeated, since they may have been made. */
  const lost = (settlements: readonly Settlement[]): void => {
    for (const settlement of settlements) {
      if (settlement.scopes.leaseKeys.length > 0 && unfreed.length < unfreedMax) unfreed.push(leasesAlone(settlement))
    }
    if (unfreed.length > 0) retryTimer ??= setTimeout(freeAgain, retryMs).unref()
  }

  const send = async (
    asked: readonly Asking[],
    settlements: readonly Settlement[],
    look?: SharedScopes,
  ): Promise<ScriptReply> => {
    const { keys, told } = scriptCall(redisTimeMs?.() ?? 0, asked, settlements, look)
    try {
      return new ScriptReply(await redis.run((client) => limiterScript(client, keys.length, ...keys, told)))
    } catch (error) {
      lost(settlements)
      throw error
    }
  }
  /** Never rejects. */
  const sendOne = async (asked: readonly Asking[], settlements: readonly Settlement[]): Promise<void> => {
    let reply: ScriptReply | undefined
    try {
      reply = await send(asked, settlements)
    } catch {
      // What was told is kept by `lost`, and who asked is told that nothing is known.
    }
    for (const asking of asked) asking.answered(reply?.answer(asking.scopes.limits))
  }
  const takeSettlements = (line: Line): Settlement[] => {
    if (line.settlements.length > settlementsPerCall) return line.settlements.splice(0, settlementsPerCall)
    const taken = line.settlements
    if (taken.length > 0) line.settlements = []
    return taken
  }
  /** All that waits in a line, in the order in which it came. */
  const sendLine = (line: Line): Promise<void>[] => {
    const { asking } = line
    line.asking = []
    const sent: Promise<void>[] = []
    if (asking.length > 0 && asking.length <= askedPerCall) sent.push(sendOne(asking, takeSettlements(line)))
    else {
      for (let at = 0; at < asking.length; at += askedPerCall) {
        sent.push(sendOne(asking.slice(at, at + askedPerCall), takeSettlements(line)))
      }
    }
    while (line.settlements.length > 0) sent.push(sendOne(none, takeSettlements(line)))
    return sent
  }
  const sendAsking = (): void => {
    const sent = askingLines
    askingLines = []
    for (const line of sent) void sendLine(line)
  }
  /** By the end of the turn, for requests that have just arrived may take the settlements along. */
  const sendAllLater = (): void => void setImmediate(sendAll)
  const sendAll = (): void => {
    clearTimeout(timer)
    timer = undefined
    const sent = settlingLines.flatMap(sendLine)
    settlingLines = []
    // Its own result, lest each keep all those before it.
    if (sent.length > 0) sending = Promise.all([sending, ...sent]).then(() => {})
  }

  return {
    ask,
    settle,
    freeAgain,
    async look(scopes) {
      const line = lineOf(scopes.organizationId)
      if (line.asking.length > 0 || line.settlements.length > settlementsPerCall) void sendLine(line)
      return await send(none, takeSettlements(line), scopes)
    },
    flush(scopes) {
      void sendLine(lineOf(scopes.organizationId))
    },
    async close() {
      clearTimeout(retryTimer)
      sendAsking()
      sendAll()
      await sending
    },
  }
}

const limiterScript = createRedisScript<number[]>({
  name: 'limiter',
  lua: readFileSync(new URL('./limiter.lua', import.meta.url), 'utf8'),
})

const none: readonly never[] = []
