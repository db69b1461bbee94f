import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import type { Pool } from 'pg'
import type { Clock } from '../clock.ts'
import type { IdSource } from '../ids.ts'
import { bundledSourceVersion } from './bundled-version.ts'
import {
  type CatalogSyncCounts,
  type CatalogTransaction,
  inCatalogTransaction,
  lastImportedVersion,
  recordFailedSync,
} from './catalog.store.ts'
import { type CatalogPlan, changesAnything, type PlanReport, planCatalogSync } from './catalog-diff.ts'
import type { CatalogModel, CatalogSource, Omission } from './catalog-model.ts'
import { FeedError, feedBytesMax, readLitellmFeed } from './litellm.ts'

/** LiteLLM's own copy, the one its gateway reads (BerriAI/litellm, as of 2026-11-23). */
export const litellmFeedUrl =
  'https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json'

export interface CatalogSyncDeps {
  pool: Pool
  newId: IdSource
  clock: Clock
}

export interface CatalogSyncInput {
  source: CatalogSource
  /** Where the models come from, for the record: a URL, a path, `bundled`. */
  location: string
  sourceVersion: string | undefined
  models: readonly CatalogModel[]
  skipped: readonly Omission[]
  notes: readonly Omission[]
  /** Accept a source that lists less than half of what it used to. */
  allowShrink?: boolean
  /** Do nothing when this very version was the last to be imported. */
  onlyIfNew?: boolean
}

export type CatalogSyncResult =
  | { status: 'succeeded'; syncId: string; counts: CatalogSyncCounts; report: CatalogSyncReport; isChanged: boolean }
  /** Recorded; what was known stays as it was. */
  | { status: 'failed'; syncId: string; failure: string }
  /** Another process is at it. */
  | { status: 'busy' }
  | { status: 'current' }

export interface CatalogSyncReport extends PlanReport {
  skipped: readonly Omission[]
  notes: readonly Omission[]
}

/**
 * Makes the database say what a source says, in one transaction: all of it or nothing. An operator's own prices stay
 * in force whatever the source says.
 *
 * @throws what the database throws; that is recorded, too, if the database lets us
 */
export async function syncCatalog(deps: CatalogSyncDeps, input: CatalogSyncInput): Promise<CatalogSyncResult> {
  const { source, location, sourceVersion } = input
  const row = { id: deps.newId(deps.clock.nowMs()), source, location, sourceVersion }
  try {
    const done = await inCatalogTransaction(deps.pool, (transaction) => runSync(deps, input, row.id, transaction))
    return done?.result ?? { status: 'busy' }
  } catch (error) {
    if (error instanceof ShrinkError) return fail(deps, row, error.message)
    await recordFailedSync(deps.pool, row, messageOf(error)).catch(() => undefined) // The first error tells more.
    throw error
  }
}

/**
 * Imports the prices that come with the gateway, once for each version of them. Cheap when that has been done; waits
 * for another process that is doing it, since a gateway without prices must not start serving.
 */
export async function importBundledCatalog(deps: CatalogSyncDeps, signal?: AbortSignal): Promise<CatalogSyncResult> {
  const sourceVersion = bundledSourceVersion()
  while ((await lastImportedVersion(deps.pool, 'genai-prices')) !== sourceVersion) {
    // Loaded only when it is needed: that alone takes longer than all of the usual start of the catalog.
    const { readBundledPrices } = await import('./genai-prices.ts')
    const result = await syncCatalog(deps, {
      source: 'genai-prices',
      location: 'bundled',
      sourceVersion,
      ...readBundledPrices(deps.clock.nowMs()),
      // It is part of the release that is starting, so nobody has tampered with it.
      allowShrink: true,
      onlyIfNew: true,
    })
    if (result.status !== 'busy') return result
    await wait(busyRetryMs, undefined, signal ? { signal } : {})
  }
  return { status: 'current' }
}

const busyRetryMs = 250

/** The guarded way out; rejects when the body is larger than `maxBytes`. */
export type FetchText = (url: string, options: { maxBytes: number; signal: AbortSignal }) => Promise<string>

export interface SyncFromLocationDeps extends CatalogSyncDeps {
  fetchText: FetchText
}

/**
 * Reads LiteLLM's feed from a URL or a file and syncs it. A feed that cannot be had or read is a recorded failure.
 *
 * @throws what the database throws, and when the signal aborts for another reason than a timeout
 */
export async function syncFromLocation(
  deps: SyncFromLocationDeps,
  { location = litellmFeedUrl, allowShrink = false, signal }: SyncFromLocationOptions,
): Promise<CatalogSyncResult> {
  let text: string
  let reading: ReturnType<typeof readLitellmFeed>
  try {
    text = await readLocation(deps.fetchText, location, signal)
    reading = readLitellmFeed(text)
  } catch (error) {
    // Given up by whoever asked for it, say at shutdown, is no failure of the feed; a timeout is.
    if (signal.aborted && signal.reason?.name !== 'TimeoutError') throw error
    const row = { id: deps.newId(deps.clock.nowMs()), source: 'litellm', location, sourceVersion: undefined } as const
    return fail(deps, row, messageOf(error))
  }
  const sourceVersion = `sha256:${createHash('sha256').update(text).digest('hex')}`
  return syncCatalog(deps, { source: 'litellm', location, sourceVersion, allowShrink, ...reading })
}

export interface SyncFromLocationOptions {
  /** An http(s) URL or a path; LiteLLM's own copy when undefined. */
  location?: string | undefined
  allowShrink?: boolean | undefined
  signal: AbortSignal
}

async function readLocation(fetchText: FetchText, location: string, signal: AbortSignal): Promise<string> {
  if (/^https?:\/\//i.test(location)) return fetchText(location, { maxBytes: feedBytesMax, signal })
  const { size } = await stat(location)
  if (size > feedBytesMax) throw new FeedError(`The file has ${size} bytes; at most ${feedBytesMax} are read.`)
  return readFile(location, { encoding: 'utf8', signal })
}

async function runSync(
  { newId }: CatalogSyncDeps,
  input: CatalogSyncInput,
  syncId: string,
  transaction: CatalogTransaction,
): Promise<CatalogSyncResult> {
  const { source, location, sourceVersion, models, skipped, notes } = input
  if (input.onlyIfNew && (await transaction.lastVersion(source)) === sourceVersion) return { status: 'current' }
  const plan = planCatalogSync(source, models, await transaction.readKnownModels(), transaction.nowMs)
  if (!input.allowShrink) refuseShrink(source, plan.report)
  await transaction.begin({ id: syncId, source, location, sourceVersion })
  await transaction.apply(plan, { syncId, source, next: () => newId(transaction.nowMs) })
  const counts = countsOf(plan, skipped)
  const report = { ...plan.report, skipped, notes }
  await transaction.succeed(syncId, counts, storedReport(report))
  const isChanged = changesAnything(plan)
  if (isChanged) await transaction.bumpConfigVersion(hashOf(plan))
  return { status: 'succeeded', syncId, counts, report, isChanged }
}

class ShrinkError extends Error {
  override readonly name = 'ShrinkError'
}

/** A truncated or replaced feed would otherwise declare most of the catalog gone. */
function refuseShrink(source: CatalogSource, { listedBefore, listedNoMore }: PlanReport): void {
  if (listedNoMore * 2 <= listedBefore) return
  throw new ShrinkError(
    `The feed lists only ${listedBefore - listedNoMore} of the ${listedBefore} models known from ${source}, ` +
      'so it was not taken. If that is right, sync again and allow it to shrink.',
  )
}

function countsOf(
  { added, repriced, redescribed, report }: CatalogPlan,
  skipped: readonly Omission[],
): CatalogSyncCounts {
  const changed = new Set([...repriced, ...redescribed.filter(({ isMissing }) => !isMissing)].map(({ id }) => id))
  return {
    added: added.length,
    changed: changed.size,
    unchanged: report.unchanged,
    deprecated: report.missing.length + report.deprecated.length,
    skipped: skipped.length,
  }
}

async function fail(
  deps: CatalogSyncDeps,
  row: Parameters<typeof recordFailedSync>[1],
  failure: string,
): Promise<CatalogSyncResult> {
  await recordFailedSync(deps.pool, row, failure)
  return { status: 'failed', syncId: row.id, failure }
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 1_000)
}

function hashOf(plan: CatalogPlan): string {
  return createHash('sha256').update(JSON.stringify(plan)).digest('hex')
}

/** How many of each list are kept in the database. */
const samplesMax = 100

/** What is kept of a report: how many of each, and samples. */
function storedReport({ skipped, notes, ...lists }: CatalogSyncReport): object {
  const samples = Object.fromEntries(
    Object.entries(lists).map(([name, list]) => [
      name,
      Array.isArray(list) ? { count: list.length, samples: list.slice(0, samplesMax) } : list,
    ]),
  )
  return { ...samples, skipped: groupByReason(skipped), notes: groupByReason(notes) }
}

export interface OmissionGroup {
  reason: string
  count: number
  samples: string[]
}

/** Most frequent first, a few keys each. */
export function groupByReason(omissions: readonly Omission[]): OmissionGroup[] {
  const groups = new Map<string, OmissionGroup>()
  for (const { key, reason } of omissions) {
    const group = groups.get(reason) ?? { reason, count: 0, samples: [] }
    group.count++
    if (group.samples.length < 5) group.samples.push(key)
    groups.set(reason, group)
  }
  return [...groups.values()].sort((a, b) => b.count - a.count)
}
