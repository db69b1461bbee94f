import { hash } from 'node:crypto'
import { openConnection } from '../core/db/connection.ts'
import { defaultUsageRetentionDays, maintainPartitions } from '../core/db/partitions.ts'
import type { Log } from '../core/log.ts'
import { createSeedStore, type SeedStore } from './seed.store.ts'
import { seedWorld } from './seed-world.ts'

export interface SeedOptions {
  url: string
  log: Log
  /** About how many calls. */
  calls?: number
  days?: number
  /** The same seed on the same day and the same database makes the same data. */
  seed?: number
  /** Adds to a database that has usage already. */
  force?: boolean
}

export type SeedResult = { seeded: true; summary: SeedSummary } | { seeded: false; reason: string }

export interface SeedSummary {
  organizations: number
  teams: number
  keys: number
  calls: number
  attempts: number
  ledgerEntries: number
  costNano: bigint
  /** Sentences for whoever ran it. */
  notes: readonly string[]
}

const dayMs = 86_400_000

/**
 * Fills a development database with invented companies and their usage of the last weeks: calls, attempts, ledger and
 * rollups that add up, at the prices in the database.
 *
 * All in one transaction, so an interrupted run leaves nothing. What a previous run made is found again by name.
 *
 * @returns why not, when the database has usage and `force` is not given
 */
export async function seedDevelopmentDatabase(options: SeedOptions): Promise<SeedResult> {
  const { url, log, calls = 200_000, days = 90, seed = 1, force = false } = options
  await using client = await openConnection({ url, purpose: 'seed', lockTimeoutMs: 10_000 })
  const usageCount = await createSeedStore(client, { seed, nowMs: 0 }).estimateUsage()
  if (usageCount > 0 && !force) {
    return { seeded: false, reason: 'This database has usage already. Use another one, or --force to add to this one.' }
  }
  const daysBack = Math.min(days, defaultUsageRetentionDays) - 1
  await maintainPartitions({ url, log, daysBack })

  await client.query('begin')
  try {
    const nowMs = (await client.query<{ now: Date }>('select now() as now')).rows[0]?.now.getTime() ?? 0
    // Request ids follow from the seed: more data on top needs another one.
    const store = createSeedStore(client, { seed: usageCount > 0 ? seed * 1_000_003 + usageCount : seed, nowMs })
    const summary = await fill(store, { calls, daysBack, nowMs })
    await client.query('commit')
    await store.analyze()
    return { seeded: true, summary }
  } catch (error) {
    await client.query('rollback')
    throw error
  }
}

async function fill(
  store: SeedStore,
  { calls, daysBack, nowMs }: { calls: number; daysBack: number; nowMs: number },
): Promise<SeedSummary> {
  await store.insertRouting(seedWorld)
  await store.insertTenants(seedWorld)
  await store.prepareCalls(seedWorld)
  const totals = { calls: 0, attempts: 0, ledgerEntries: 0, costNano: 0n }
  let first = 0
  for (const { startMs, count } of daily(calls, daysBack, nowMs)) {
    const made = await store.insertDay({ startMs, first, count, hasIncident: startMs === incidentDay(nowMs) })
    first += count
    totals.calls += made.calls
    totals.attempts += made.attempts
    totals.ledgerEntries += made.ledgerEntries
    totals.costNano += made.costNano
  }
  await store.settleBudgets()
  const teams = seedWorld.organizations.flatMap((organization) => organization.teams)
  return {
    organizations: seedWorld.organizations.length,
    teams: teams.length,
    keys: teams.flatMap((team) => team.keys).length,
    ...totals,
    notes: [
      'The keys are for looking at: their digests are random, no secret opens them.',
      'The admin users have no passwords; they cannot sign in until somebody sets one.',
      'Providers that were missing were added switched off, since they have no credentials.',
    ],
  }
}

/** Grows over time, is quieter at weekends, and wavers a little. */
function daily(calls: number, daysBack: number, nowMs: number): { startMs: number; count: number }[] {
  const todayMs = Math.floor(nowMs / dayMs) * dayMs
  const days = Array.from({ length: daysBack + 1 }, (_, index) => {
    const startMs = todayMs - (daysBack - index) * dayMs
    const growth = 0.6 + (0.4 * index) / Math.max(daysBack, 1)
    const isWeekend = [0, 6].includes(new Date(startMs).getUTCDay())
    const waver = 0.9 + (Number.parseInt(hash('sha256', String(startMs), 'hex').slice(0, 4), 16) / 0xffff) * 0.2
    // Today has only begun; hours that are still to come are left out when the day is made.
    return { startMs, weight: growth * (isWeekend ? 0.45 : 1) * waver }
  })
  const total = days.reduce((sum, { weight }) => sum + weight, 0)
  return days.map(({ startMs, weight }) => ({ startMs, count: Math.round((calls * weight) / total) }))
}

/** An afternoon on which one provider was down, for charts to show. */
function incidentDay(nowMs: number): number {
  return Math.floor(nowMs / dayMs) * dayMs - 12 * dayMs
}
