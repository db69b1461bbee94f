import type { CatalogSyncReport, CatalogSyncResult } from '../core/catalog/sync.ts'
import { groupByReason } from '../core/catalog/sync.ts'
import { formatUsd } from '../core/money.ts'
import type { StoredRateTable } from '../core/pricing/price.ts'
import { type UnitKind, unitKinds } from '../core/usage/usage.ts'

/** What `llmgw catalog sync` needs; the command line itself is read elsewhere. */
export interface CatalogSyncCommandDeps {
  sync(options: { location: string | undefined; allowShrink: boolean }): Promise<CatalogSyncResult>
  /** Takes whole lines, without the line break. */
  print(line: string): void
}

export interface CatalogSyncCommandOptions {
  /** A URL or a path; LiteLLM's own copy when absent. */
  from?: string | undefined
  allowShrink?: boolean | undefined
  json?: boolean | undefined
}

/** @returns the exit status: 0 when the catalog is as the source says, 1 when it is not */
export async function syncCatalogCommand(
  { sync, print }: CatalogSyncCommandDeps,
  options: CatalogSyncCommandOptions,
): Promise<0 | 1> {
  const result = await sync({ location: options.from, allowShrink: options.allowShrink ?? false })
  if (options.json) print(JSON.stringify(result))
  else for (const line of linesOf(result)) print(line)
  return result.status === 'succeeded' || result.status === 'current' ? 0 : 1
}

/** How many of each list are printed; `--json` has them all. */
const linesMax = 40

function linesOf(result: CatalogSyncResult): string[] {
  if (result.status === 'busy') return ['Another process is syncing the catalog. Try again in a minute.']
  if (result.status === 'current') return ['The catalog is up to date.']
  if (result.status === 'failed') return [`The catalog was not synced: ${result.failure}`]
  const { counts, report, isChanged } = result
  const { added, changed, unchanged, deprecated, skipped } = counts
  return [
    `${isChanged ? 'The catalog was synced' : 'The catalog was up to date'}: ${added} added, ${changed} changed, ` +
      `${unchanged} unchanged, ${deprecated} deprecated or gone, ${skipped} skipped.`,
    ...section('Added', report.added),
    ...section('Changed prices', report.changed.flatMap(priceChange)),
    ...section('Announced prices', report.announced.map(announcement)),
    ...section(
      'Deprecated',
      report.deprecated.map(({ model, deprecationDate }) => `${model}, from ${deprecationDate}`),
    ),
    ...section('No longer listed', report.missing),
    ...section('Listed again', report.returned),
    ...section('Price withdrawn; the known one stays', report.priceWithdrawn),
    ...omissions('Skipped', report.skipped),
    ...omissions('Imported in part', report.notes),
  ]
}

function section(title: string, lines: readonly string[]): string[] {
  if (lines.length === 0) return []
  const more = lines.length > linesMax ? [`  and ${lines.length - linesMax} more`] : []
  return ['', `${title}:`, ...lines.slice(0, linesMax).map((line) => `  ${line}`), ...more]
}

function omissions(title: string, list: CatalogSyncReport['skipped']): string[] {
  const lines = groupByReason(list).map(({ reason, count, samples }) => {
    const others = count > samples.length ? ', …' : ''
    return `${String(count).padStart(5)}  ${reason} (${samples.slice(0, 3).join(', ')}${others})`
  })
  return section(title, lines)
}

function announcement({ model, effectiveFrom, tables }: CatalogSyncReport['announced'][number]): string {
  const base = tables.find(({ serviceTier, aboveInputTokens }) => serviceTier === 'default' && aboveInputTokens === 0)
  const rates = (['input', 'output'] as const).flatMap((kind) => {
    const rate = base?.rates[kind]
    return rate === undefined ? [] : [`${kind} ${amountOf(kind, rate)}`]
  })
  return `${model}, from ${effectiveFrom.slice(0, 10)}: ${rates.join(', ')}`
}

/** One line for each rate that is not what it was. */
function priceChange({ model, before, after }: CatalogSyncReport['changed'][number]): string[] {
  const places = [...before, ...after].map(placeOf)
  return [...new Set(places)].flatMap((place) => {
    const rates = (tables: readonly StoredRateTable[]) => tables.find((table) => placeOf(table) === place)?.rates ?? {}
    const [old, now] = [rates(before), rates(after)]
    return unitKinds
      .filter((kind) => old[kind] !== now[kind])
      .map((kind) => `${model}: ${place}${kind} ${amountOf(kind, old[kind])} -> ${amountOf(kind, now[kind])}`)
  })
}

function placeOf({ serviceTier, aboveInputTokens }: StoredRateTable): string {
  const tier = serviceTier === 'default' ? '' : `${serviceTier}, `
  return tier + (aboveInputTokens === 0 ? '' : `above ${aboveInputTokens} tokens, `)
}

const countedOneByOne: ReadonlySet<UnitKind> = new Set([
  'request',
  'search',
  'input_image_item',
  'output_image_item',
  'input_page',
])

/** Dollars for what price lists give them for: a million tokens or characters, a minute, one of anything else. */
function amountOf(kind: UnitKind, ratePerMillion: string | undefined): string {
  if (ratePerMillion === undefined) return 'unknown'
  const rate = BigInt(ratePerMillion)
  if (countedOneByOne.has(kind)) return `$${formatUsd(rate / 1_000_000n)} each`
  if (kind.endsWith('_ms')) return `$${formatUsd((rate * 60_000n) / 1_000_000n)} a minute`
  return `$${formatUsd(rate)} per million`
}
