/**
 * What a call consumed, by billable kind. Counts are integers; times are milliseconds.
 *
 * The kinds are disjoint: `input` holds only the prompt tokens that no other input kind holds, `output` only the
 * completion tokens that no other output kind holds. Providers report overlapping sums (cached tokens inside prompt
 * tokens, reasoning inside completion tokens); each provider's folder takes them apart.
 */
export const unitKinds = [
  'input',
  'cache_read',
  'cache_write_5m',
  'cache_write_1h',
  'input_audio',
  'cache_read_audio',
  'cache_write_audio',
  'input_image',
  'input_video',
  'output',
  'reasoning',
  'output_audio',
  'output_image',
  'output_video',
  'request',
  'search',
  'input_image_item',
  'output_image_item',
  'input_audio_ms',
  'input_video_ms',
  'output_audio_ms',
  'output_video_ms',
  'runtime_ms',
  'input_character',
  'output_character',
  'input_page',
] as const

export type UnitKind = (typeof unitKinds)[number]

/** Only kinds that occurred are present; each is a non-negative safe integer. */
export type Units = Partial<Record<UnitKind, number>>

/** What the provider says it used, taken apart into disjoint kinds, beside the sums the client is shown. */
export interface Usage {
  units: Units
  /** All prompt tokens, cached ones included: what picks a price tier. */
  inputTokens: number
  /** All completion tokens, reasoning included. */
  outputTokens: number
  totalTokens: number
  /** The tier the provider says it served, where prices depend on it. */
  serviceTier: ServiceTier
}

export type ServiceTier = 'default' | 'flex' | 'priority' | 'batch'

/** Who counted. `counted`: our own estimate from the bytes that passed; `estimated`: nothing passed, or we were not there. */
export type UsageSource = 'provider' | 'counted' | 'estimated' | 'none'
