import { z } from 'zod'
import { scaledInteger } from '../money.ts'
import type { StoredRateTable } from '../pricing/price.ts'
import type { ServiceTier, UnitKind } from '../usage/usage.ts'
import { catalogOfLitellmProvider, modelNameOfLitellmKey } from './catalog-id.ts'
import type { CatalogModel, CatalogReading, Features, Omission } from './catalog-model.ts'
import { featureNames, keptFields, mentionsCost, priceFieldOf, unpricedFields } from './litellm-fields.ts'

/** LiteLLM's file has some 1.5 MB and 3,000 models (July 2026); what is many times that is not that file. */
export const feedBytesMax = 16 * 1024 * 1024
const entriesMax = 20_000
const nameLengthMax = 300
/** A million dollars for one unit: whoever asks for more has put a comma in the wrong place. */
const ratePerMillionMax = 10n ** 21n
const postgresIntegerMax = 2_147_483_647

/**
 * Reads LiteLLM's `model_prices_and_context_window` (BerriAI/litellm, its fields as read in July 2026). Prices there
 * are dollars for one unit, as JSON floats; they are read as the shortest decimal that means that float, so exactly as
 * whoever wrote the file typed them.
 *
 * Never fails for the sake of one entry: what cannot be taken is in `skipped`, what could be taken only in part in
 * `notes`.
 *
 * @throws FeedError when this is not such a file at all
 */
export function readLitellmFeed(text: string): CatalogReading {
  const bytes = Buffer.byteLength(text)
  if (bytes > feedBytesMax) throw new FeedError(`The feed has ${bytes} bytes; at most ${feedBytesMax} are read.`)
  const entries = Object.entries(parseOuterShape(text))
  if (entries.length > entriesMax) {
    throw new FeedError(`The feed has ${entries.length} entries; at most ${entriesMax} are read.`)
  }
  const skipped: Omission[] = []
  const notes: Omission[] = []
  const taken = new Map<string, { key: string; model: CatalogModel; isPrefixed: boolean }>()
  for (const [key, entry] of entries) {
    const identified = identify(key, entry)
    if ('reason' in identified) {
      skipped.push({ key, reason: identified.reason })
      continue
    }
    const model = readModel(key, identified, notes)
    const id = `${model.catalog}/${model.name}`
    const other = taken.get(id)
    if (other && (other.isPrefixed || !identified.isPrefixed)) {
      skipped.push({ key, reason: sameModelReason(model, other.model) })
      continue
    }
    // A key that names its provider is the provider's own price list; a bare one may be there for convenience.
    if (other) skipped.push({ key: other.key, reason: sameModelReason(model, other.model) })
    taken.set(id, { key, model, isPrefixed: identified.isPrefixed })
  }
  if (taken.size === 0) throw new FeedError('The feed has no models.')
  return { models: [...taken.values()].map(({ model }) => model), skipped, notes }
}

/** The whole feed is unusable; the message says why, for an operator. */
export class FeedError extends Error {
  override readonly name = 'FeedError'
}

const outerShape = z.record(z.string(), z.unknown())

/** The provider is all an entry must have; each other field is read for itself. */
type Entry = Readonly<Record<string, unknown>> & { readonly litellm_provider: string }

function isEntry(value: unknown): value is Entry {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, 'litellm_provider')) return false
  const { litellm_provider } = value as Entry
  return typeof litellm_provider === 'string' && litellm_provider !== ''
}

function parseOuterShape(text: string): Record<string, unknown> {
  try {
    return outerShape.parse(JSON.parse(text))
  } catch (error) {
    throw new FeedError('The feed is not a JSON object of models.', { cause: error })
  }
}

interface Identified {
  entry: Entry
  catalog: string
  name: string
  mode: string
  isPrefixed: boolean
}

function identify(key: string, entry: unknown): Identified | { reason: string } {
  if (key === 'sample_spec') return { reason: 'a template, not a model' }
  if (key === 'fallback_generalizations') return { reason: 'rules about names, not a model' }
  if (!isEntry(entry)) return { reason: 'it names no provider' }
  const { name, isPrefixed } = modelNameOfLitellmKey(key, entry.litellm_provider)
  // The database keeps text without NUL, and nobody means control characters in a name.
  if (name.length > nameLengthMax || /\p{Cc}/u.test(name)) return { reason: 'its name is not usable' }
  if (/(^|\/)\d+-month-commitment\//.test(key)) {
    return { reason: 'reserved capacity is billed by the month, not by the call' }
  }
  if (/(^|\/)(\d+-x-\d+|max-x-max)\//.test(key)) {
    return { reason: 'a price by image size and quality, not a model that a call can name' }
  }
  if (entry.mode === undefined && /^fireworks-ai-/.test(key)) {
    return { reason: 'a price class for models of a size, not a model' }
  }
  const mode = typeof entry.mode === 'string' && entry.mode !== '' ? entry.mode : 'chat'
  return { entry, catalog: catalogOfLitellmProvider(entry.litellm_provider), name, mode, isPrefixed }
}

function sameModelReason(one: CatalogModel, other: CatalogModel): string {
  return JSON.stringify(one.prices) === JSON.stringify(other.prices)
    ? 'another key stands for the same model'
    : 'another key stands for the same model, at another price; the key that names the provider is taken'
}

function readModel(key: string, { entry, catalog, name, mode }: Identified, notes: Omission[]): CatalogModel {
  const noted = new Set<string>()
  const note = (reason: string): void => {
    if (noted.has(reason)) return
    noted.add(reason)
    notes.push({ key, reason })
  }
  const tables = readTables(entry, mode, note)
  if (tables.length === 0) note('no price that we can apply: its cost is unknown')
  noteAudioPricedAsText(entry, tables, note)
  const limits = readLimits(entry, note)
  return {
    catalog,
    name,
    displayName: undefined,
    mode,
    ...limits,
    inputModalities: inputModalitiesOf(entry, mode),
    outputModalities: outputModalitiesOf(entry, mode),
    features: featuresOf(entry),
    deprecationDate: readDate(entry.deprecation_date, note),
    prices: tables.length === 0 ? [] : [{ effectiveFrom: undefined, tables }],
  }
}

type Note = (reason: string) => void

/** Some makers do charge the same for both, others are just not looked up; the feed does not say which. */
function noteAudioPricedAsText(entry: Entry, tables: readonly StoredRateTable[], note: Note): void {
  const kinds = new Set(tables.flatMap(({ rates }) => Object.keys(rates)))
  const isAsText = (text: UnitKind, ...audio: UnitKind[]): boolean =>
    kinds.has(text) && !audio.some((kind) => kinds.has(kind))
  if (entry.supports_audio_input === true && isAsText('input', 'input_audio', 'input_audio_ms')) {
    note('audio in the prompt is priced as text: there is no rate for it')
  }
  if (entry.supports_audio_output === true && isAsText('output', 'output_audio', 'output_audio_ms')) {
    note('audio in the answer is priced as text: there is no rate for it')
  }
}

function readTables(entry: Entry, mode: string, note: Note): StoredRateTable[] {
  const tables = createTables()
  const pricesImagesMade = 'output_cost_per_image' in entry || 'output_cost_per_image_token' in entry
  const hasTiers = Array.isArray(entry.tiered_pricing)
  for (const [field, value] of Object.entries(entry)) {
    if (value === null || field === 'tiered_pricing') continue
    if (field === 'search_context_cost_per_query') {
      readSearchPrice(value, tables, note)
      continue
    }
    const priced = priceFieldOf(field, mode, pricesImagesMade)
    if (!priced) {
      noteUnpriced(field, value, note)
      continue
    }
    const rate = readRate(value, priced.scale, note)
    // Tiers stand instead of the plain price; a plain one beside them would decide for the kinds they do not name.
    if (rate !== undefined && !hasTiers) tables.set(priced, rate)
  }
  if (hasTiers) readTieredPricing(entry.tiered_pricing as unknown[], mode, tables, note)
  return tables.finished()
}

interface RatePlace {
  kind: UnitKind
  serviceTier: ServiceTier
  aboveInputTokens: number
  rank: number
}

function createTables() {
  const rates = new Map<string, { place: RatePlace; rate: bigint }>()
  return {
    set(place: RatePlace, rate: bigint): void {
      const id = `${place.serviceTier}/${place.aboveInputTokens}/${place.kind}`
      const other = rates.get(id)
      const isBetter = !other || place.rank < other.place.rank || (place.rank === other.place.rank && rate > other.rate)
      if (isBetter) rates.set(id, { place, rate })
    },
    finished(): StoredRateTable[] {
      const tables = new Map<string, StoredRateTable>()
      for (const { place, rate } of rates.values()) {
        const { serviceTier, aboveInputTokens, kind } = place
        const id = `${serviceTier}/${aboveInputTokens}`
        const table = tables.get(id) ?? { serviceTier, aboveInputTokens, rates: {} }
        table.rates[kind] = rate.toString()
        tables.set(id, table)
      }
      return [...tables.values()]
    },
  }
}
type Tables = ReturnType<typeof createTables>

/** `[{ range: [from, to], input_cost_per_token, … }]`: the prompt is above `from` and at most `to`. */
function readTieredPricing(tiers: readonly unknown[], mode: string, tables: Tables, note: Note): void {
  for (const tier of tiers) {
    const parsed = tierShape.safeParse(tier)
    if (!parsed.success) {
      note('price tiers by something other than the size of the prompt are not applied')
      continue
    }
    const { range, ...fields } = parsed.data
    for (const [field, value] of Object.entries(fields)) {
      const priced = priceFieldOf(field, mode, false)
      const rate = priced && readRate(value, priced.scale, note)
      if (!priced) noteUnpriced(field, value, note)
      else if (rate !== undefined) tables.set({ ...priced, aboveInputTokens: range[0] }, rate)
    }
  }
}

const tierShape = z.looseObject({ range: z.tuple([z.number().int().nonnegative()]).rest(z.unknown()) })

/** By how much context the search brings: where that matters we take the middle, which callers get who do not say. */
function readSearchPrice(value: unknown, tables: Tables, note: Note): void {
  const parsed = searchShape.safeParse(value)
  if (!parsed.success) {
    note('a price for searches that is no list of context sizes')
    return
  }
  const {
    search_context_size_medium: medium,
    search_context_size_high: high,
    search_context_size_low: low,
  } = parsed.data
  const chosen = medium ?? high ?? low
  if (new Set([low, medium, high].filter((price) => price !== undefined)).size > 1) {
    note('searches are priced at the middle context size, whatever size was asked for')
  }
  const rate = chosen === undefined ? undefined : readRate(chosen, 15, note)
  if (rate !== undefined) tables.set({ kind: 'search', serviceTier: 'default', aboveInputTokens: 0, rank: 0 }, rate)
}

const searchShape = z.object({
  search_context_size_low: z.unknown().optional(),
  search_context_size_medium: z.unknown().optional(),
  search_context_size_high: z.unknown().optional(),
})

/** @returns undefined for what is no price; that is noted */
function readRate(value: unknown, scale: number, note: Note): bigint | undefined {
  const rate = typeof value === 'number' || typeof value === 'string' ? decimalOf(value, scale) : undefined
  if (rate === undefined) note('a price that is not a number')
  else if (rate < 0n) note('a negative price')
  else if (rate > ratePerMillionMax) note('a price beyond all reason')
  else return rate
  return undefined
}

function decimalOf(value: number | string, scale: number): bigint | undefined {
  // A number of a hundred digits is no price, and not worth the arithmetic.
  if (String(value).length > 40 || /e[+-]?\d{3}/i.test(String(value))) return undefined
  try {
    return scaledInteger(value, scale)
  } catch {
    return undefined // No decimal: prose, an empty text, Infinity.
  }
}

function noteUnpriced(field: string, value: unknown, note: Note): void {
  if (field === 'provider_specific_entry') {
    const multipliers = typeof value === 'object' && Object.values(value ?? {}).some((one) => typeof one === 'number')
    if (multipliers) note('surcharges by region and speed mode are not applied')
    return
  }
  const known = unpricedFields.find(({ pattern }) => pattern.test(field))
  if (known) note(known.reason)
  else if (mentionsCost(field)) note(`the price field ${field.slice(0, 80)} is not known`)
}

/** `max_tokens` is the output limit of old entries, or the input limit where no output limit is known. */
function readLimits(entry: Entry, note: Note): Pick<CatalogModel, 'contextWindowTokens' | 'maxOutputTokens'> {
  const input = readCount(entry.max_input_tokens, note)
  const output = readCount(entry.max_output_tokens, note)
  const legacy = readCount(entry.max_tokens, note)
  return { contextWindowTokens: input ?? (output === undefined ? legacy : undefined), maxOutputTokens: output }
}

function readCount(value: unknown, note: Note): number | undefined {
  if (value === undefined || value === null) return undefined
  const count = typeof value === 'string' && /^\d{1,12}(\.0*)?$/.test(value) ? Number(value) : value
  if (typeof count === 'number' && Number.isInteger(count) && count >= 0 && count <= postgresIntegerMax) {
    return count === 0 ? undefined : count
  }
  note('a limit that is not a number of tokens')
  return undefined
}

function readDate(value: unknown, note: Note): string | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value === 'string' && isCalendarDate(value)) return value
  note('a deprecation date that is not of the form YYYY-MM-DD')
  return undefined
}

function isCalendarDate(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false
  const date = new Date(`${text}T00:00:00Z`)
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text)
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '' && value.length < 100

function inputModalitiesOf(entry: Entry, mode: string): string[] {
  if (Array.isArray(entry.supported_modalities)) {
    const listed = entry.supported_modalities.filter(isText)
    if (listed.length > 0) return [...new Set(listed)]
  }
  if (mode === 'audio_transcription') return ['audio']
  const found = ['text']
  if (entry.supports_vision === true || entry.supports_image_input === true) found.push('image')
  if (entry.supports_embedding_image_input === true && !found.includes('image')) found.push('image')
  if (entry.supports_audio_input === true) found.push('audio')
  if (entry.supports_video_input === true) found.push('video')
  return found
}

const outputModalityByMode: Readonly<Record<string, string>> = {
  audio_speech: 'audio',
  embedding: 'embedding',
  image_edit: 'image',
  image_generation: 'image',
  video_generation: 'video',
}

function outputModalitiesOf(entry: Entry, mode: string): string[] {
  if (Array.isArray(entry.supported_output_modalities)) {
    const listed = entry.supported_output_modalities.filter(isText)
    if (listed.length > 0) return [...new Set(listed)]
  }
  const only = Object.hasOwn(outputModalityByMode, mode) ? outputModalityByMode[mode] : undefined
  if (only) return [only]
  return entry.supports_audio_output === true ? ['text', 'audio'] : ['text']
}

function featuresOf(entry: Entry): Features {
  const features: Record<string, boolean | number | string[]> = {}
  for (const [field, value] of Object.entries(entry)) {
    const kept = Object.hasOwn(keptFields, field) ? keptFields[field] : undefined
    if (kept !== undefined) {
      if (typeof value === 'number' && Number.isFinite(value)) features[kept] = value
      else if (Array.isArray(value)) features[kept] = value.filter(isText)
    } else if (field.startsWith('supports_') && typeof value === 'boolean') {
      const name = Object.hasOwn(featureNames, field)
        ? (featureNames[field] as string)
        : field.slice('supports_'.length)
      features[name] = value
    }
  }
  return features
}
