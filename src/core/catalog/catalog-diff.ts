import type { StoredRateTable } from '../pricing/price.ts'
import { canonicalRates } from '../pricing/stored-price.ts'
import type { CatalogModel, CatalogSource, DatedPrice, Features } from './catalog-model.ts'

/** A model of a catalog as the database has it: no provider's own, and its versions of catalog sources alone. */
export interface KnownModel {
  id: string
  catalog: string
  name: string
  /** False for models an operator has taken over: catalogs no longer describe those. */
  isDescribedByCatalog: boolean
  description: Description
  missingSince: Date | undefined
  /** The version in force, then those announced for later. */
  versions: readonly KnownVersion[]
}

export interface KnownVersion {
  id: string
  source: CatalogSource
  tables: readonly StoredRateTable[]
  /** Milliseconds since the epoch. */
  effectiveFromMs: number
}

/** Everything about a model but its price, as stored; `features.listed_by` says which sources know it. */
export interface Description {
  displayName: string | null
  mode: string
  contextWindowTokens: number | null
  maxOutputTokens: number | null
  inputModalities: readonly string[]
  outputModalities: readonly string[]
  features: Features
  deprecationDate: string | null
}

/** What a sync has to write. Prices with an `effectiveFrom` of null begin with the sync. */
export interface CatalogPlan {
  added: { catalog: string; name: string; description: Description; versions: PlannedVersion[] }[]
  redescribed: { id: string; description: Description; isMissing: boolean }[]
  repriced: { id: string; keepsCurrent: boolean; versions: PlannedVersion[] }[]
  report: PlanReport
}

export interface PlannedVersion {
  tables: readonly StoredRateTable[]
  effectiveFrom: string | null
}

export interface PlanReport {
  added: string[]
  changed: { model: string; before: readonly StoredRateTable[]; after: readonly StoredRateTable[] }[]
  /** Prices that will change on a day that is known now. */
  announced: { model: string; effectiveFrom: string; tables: readonly StoredRateTable[] }[]
  /** Models that gained a date on which their provider stops serving them. */
  deprecated: { model: string; deprecationDate: string }[]
  /** Models that no source lists any more. */
  missing: string[]
  returned: string[]
  /** The source no longer gives a price; the one we know stays in force. */
  priceWithdrawn: string[]
  /** Of the models that the source lists: neither added nor touched. */
  unchanged: number
  /** Models of the source that we knew, and how many of them it no longer lists. */
  listedBefore: number
  listedNoMore: number
}

/**
 * What makes the database say what a source says. Pure; the database's clock decides what is in force.
 *
 * LiteLLM's feed is refreshed daily and knows more of a model than the bundled prices do, so those describe and price
 * only what it does not.
 */
export function planCatalogSync(
  source: CatalogSource,
  incoming: readonly CatalogModel[],
  known: readonly KnownModel[],
  nowMs: number,
): CatalogPlan {
  const plan = emptyPlan()
  const knownByName = new Map(known.map((model) => [keyOf(model), model]))
  const listed = new Set<string>()
  for (const model of incoming) {
    const key = keyOf(model)
    if (listed.has(key)) continue
    listed.add(key)
    const existing = knownByName.get(key)
    if (existing) planKnown(source, model, existing, nowMs, plan)
    else planNew(source, model, plan)
  }
  for (const model of known) planListing(source, model, listed, plan)
  return plan
}

export function changesAnything({ added, redescribed, repriced }: CatalogPlan): boolean {
  return added.length + redescribed.length + repriced.length > 0
}

function emptyPlan(): CatalogPlan {
  return {
    added: [],
    redescribed: [],
    repriced: [],
    report: {
      added: [],
      changed: [],
      announced: [],
      deprecated: [],
      missing: [],
      returned: [],
      priceWithdrawn: [],
      unchanged: 0,
      listedBefore: 0,
      listedNoMore: 0,
    },
  }
}

const keyOf = ({ catalog, name }: { catalog: string; name: string }): string => `${catalog}/${name}`

function planNew(source: CatalogSource, model: CatalogModel, { added, report }: CatalogPlan): void {
  const { catalog, name } = model
  added.push({ catalog, name, description: descriptionOf(source, model, undefined), versions: plannedOf(model.prices) })
  report.added.push(keyOf(model))
}

function planKnown(
  source: CatalogSource,
  model: CatalogModel,
  existing: KnownModel,
  nowMs: number,
  plan: CatalogPlan,
): void {
  const { report } = plan
  const isRepriced = planPrices(source, model, existing, nowMs, plan)
  const description = existing.isDescribedByCatalog
    ? descriptionOf(source, model, existing.description)
    : withListing(existing.description, source)
  const isRedescribed =
    existing.missingSince !== undefined || comparable(description) !== comparable(existing.description)
  if (isRedescribed) plan.redescribed.push({ id: existing.id, description, isMissing: false })
  if (existing.missingSince !== undefined) report.returned.push(keyOf(model))
  const { deprecationDate } = description
  if (deprecationDate !== null && deprecationDate !== existing.description.deprecationDate) {
    report.deprecated.push({ model: keyOf(model), deprecationDate })
  }
  if (!isRepriced && !isRedescribed) report.unchanged++
}

/** @returns whether there is anything to write */
function planPrices(
  source: CatalogSource,
  model: CatalogModel,
  existing: KnownModel,
  nowMs: number,
  { repriced, report }: CatalogPlan,
): boolean {
  const isInForce = ({ effectiveFrom }: DatedPrice): boolean =>
    effectiveFrom === undefined || Date.parse(effectiveFrom) <= nowMs
  const now = model.prices.find(isInForce)
  const later = model.prices.filter((price) => !isInForce(price))
  const known = existing.versions
  const current = known.find(({ effectiveFromMs }) => effectiveFromMs <= nowMs)
  if (source === 'genai-prices' && known.some((version) => version.source === 'litellm')) return false
  if (!now) {
    if (current?.source === source) report.priceWithdrawn.push(keyOf(model))
    return false
  }
  const announced = known.filter(({ effectiveFromMs }) => effectiveFromMs > nowMs)
  const keepsCurrent = current !== undefined && isSamePrice(current, now)
  // A source without announcements says nothing against another's.
  const keepsAnnounced =
    keepsCurrent && later.length === 0
      ? announced.every((version) => version.source !== source)
      : announced.length === later.length &&
        announced.every((version, index) => {
          const planned = later[index] as DatedPrice
          return isSamePrice(version, planned) && version.effectiveFromMs === Date.parse(planned.effectiveFrom ?? '')
        })
  if (keepsCurrent && keepsAnnounced) return false
  if (current && !keepsCurrent) {
    report.changed.push({ model: keyOf(model), before: current.tables, after: now.tables })
  }
  for (const { effectiveFrom, tables } of later) {
    if (effectiveFrom !== undefined) report.announced.push({ model: keyOf(model), effectiveFrom, tables })
  }
  const versions = plannedOf(keepsCurrent ? later : [now, ...later])
  // What was in force until now was so because we knew no better; it is not corrected backwards.
  if (current && !keepsCurrent && versions[0]) versions[0] = { ...versions[0], effectiveFrom: null }
  repriced.push({ id: existing.id, keepsCurrent, versions })
  return true
}

function isSamePrice(one: { tables: readonly StoredRateTable[] }, other: { tables: readonly StoredRateTable[] }) {
  return canonicalRates(one) === canonicalRates(other)
}

function plannedOf(prices: readonly DatedPrice[]): PlannedVersion[] {
  return prices.map(({ tables, effectiveFrom }) => ({ tables, effectiveFrom: effectiveFrom ?? null }))
}

/** Strikes the source off the models it no longer lists; a model that nobody lists is missing. */
function planListing(source: CatalogSource, model: KnownModel, listed: ReadonlySet<string>, plan: CatalogPlan): void {
  const sources = listingOf(model.description)
  if (!sources.includes(source)) return
  plan.report.listedBefore++
  if (listed.has(keyOf(model))) return
  plan.report.listedNoMore++
  const others = sources.filter((other) => other !== source)
  const features = { ...model.description.features, listed_by: others }
  plan.redescribed.push({
    id: model.id,
    description: { ...model.description, features },
    isMissing: others.length === 0,
  })
  if (others.length === 0) plan.report.missing.push(keyOf(model))
}

function listingOf({ features }: Pick<Description, 'features'>): readonly string[] {
  return Array.isArray(features.listed_by) ? features.listed_by : []
}

function withListing(description: Description, source: CatalogSource): Description {
  const sources = [...new Set([...listingOf(description), source])].sort()
  return { ...description, features: { ...description.features, listed_by: sources } }
}

/** What a source leaves open keeps the value another gave. */
function descriptionOf(source: CatalogSource, model: CatalogModel, before: Description | undefined): Description {
  if (before && source === 'genai-prices' && listingOf(before).includes('litellm')) return withListing(before, source)
  const listed_by = before ? listingOf(before) : []
  return withListing(
    {
      displayName: model.displayName ?? before?.displayName ?? null,
      mode: model.mode,
      contextWindowTokens: model.contextWindowTokens ?? before?.contextWindowTokens ?? null,
      maxOutputTokens: model.maxOutputTokens ?? before?.maxOutputTokens ?? null,
      inputModalities: model.inputModalities,
      outputModalities: model.outputModalities,
      features: { ...model.features, listed_by },
      deprecationDate: model.deprecationDate ?? null,
    },
    source,
  )
}

/** Text that is the same for the same description: the database hands out the members of an object in its own order. */
function comparable({ features, ...rest }: Description): string {
  return JSON.stringify([
    Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1)),
    Object.entries(features).sort(([a], [b]) => (a < b ? -1 : 1)),
  ])
}
