import { describe, expect, test } from 'vitest'
import type { CatalogModel } from './catalog-model.ts'
import { FeedError, feedBytesMax, readLitellmFeed } from './litellm.ts'

type Fields = Record<string, unknown>

const read = (feed: Record<string, unknown>) => readLitellmFeed(JSON.stringify(feed))

/** The one model of a feed; `key` is its key. */
function readModel(fields: Fields, key = 'm'): { model: CatalogModel; notes: string[] } {
  const { models, notes } = read({ [key]: { litellm_provider: 'openai', mode: 'chat', ...fields } })
  expect(models).toHaveLength(1)
  return { model: models[0] as CatalogModel, notes: notes.map(({ reason }) => reason) }
}

/** Rates as `tier/size/kind: nano-dollars for a million`; the default tier and size are left out. */
function ratesOf(fields: Fields): Record<string, string> {
  const tables = readModel(fields).model.prices[0]?.tables ?? []
  return Object.fromEntries(
    tables.flatMap(({ serviceTier, aboveInputTokens, rates }) =>
      Object.entries(rates).map(([kind, rate]) => [
        [serviceTier === 'default' ? [] : serviceTier, aboveInputTokens || [], kind].flat().join('/'),
        rate,
      ]),
    ),
  )
}

const price = { input_cost_per_token: 1e-6, output_cost_per_token: 2e-6 }

describe('prices', () => {
  test.each([
    [1.5e-7, '150000000'],
    [2.5e-6, '2500000000'],
    [8.000000000000001e-7, '800000000'],
    [3.083e-5, '30830000000'],
    [1, '1000000000000000'],
    [0, '0'],
    ['0.00000015', '150000000'],
    ['1.5e-07', '150000000'],
  ])('%j dollars for one token are %s nano-dollars for a million', (dollars, rate) => {
    expect(ratesOf({ input_cost_per_token: dollars })).toEqual({ input: rate })
  })

  test.each([
    ['input_cost_per_token', 'input'],
    ['output_cost_per_token', 'output'],
    ['cache_read_input_token_cost', 'cache_read'],
    ['input_cost_per_token_cache_hit', 'cache_read'],
    ['cache_creation_input_token_cost', 'cache_write_5m'],
    ['cache_creation_input_token_cost_above_1hr', 'cache_write_1h'],
    ['cache_creation_input_audio_token_cost', 'cache_write_audio'],
    ['cache_read_input_audio_token_cost', 'cache_read_audio'],
    ['input_cost_per_audio_token', 'input_audio'],
    ['output_cost_per_audio_token', 'output_audio'],
    ['input_cost_per_image_token', 'input_image'],
    ['output_cost_per_image_token', 'output_image'],
    ['output_cost_per_video_token', 'output_video'],
    ['output_cost_per_reasoning_token', 'reasoning'],
    ['input_cost_per_image', 'input_image_item'],
    ['output_cost_per_image', 'output_image_item'],
    ['input_cost_per_character', 'input_character'],
    ['output_cost_per_character', 'output_character'],
    ['input_cost_per_request', 'request'],
    ['input_cost_per_query', 'request'],
    ['ocr_cost_per_page', 'input_page'],
    ['input_cost_per_token_flex', 'flex/input'],
    ['output_cost_per_token_priority', 'priority/output'],
    ['input_cost_per_token_batches', 'batch/input'],
    ['input_cost_per_audio_token_priority', 'priority/input_audio'],
    ['input_cost_per_token_above_128k_tokens', '128000/input'],
    ['output_cost_per_character_above_128k_tokens', '128000/output_character'],
    ['cache_read_input_token_cost_above_272k_tokens_priority', 'priority/272000/cache_read'],
    ['cache_creation_input_token_cost_above_1hr_above_200k_tokens', '200000/cache_write_1h'],
  ])('%s is the rate of %s', (field, place) => {
    expect(ratesOf({ [field]: 0.000001 })).toEqual({ [place]: '1000000000' })
  })

  test.each([
    ['input_cost_per_audio_per_second', 'chat', 'input_audio_ms'],
    ['input_cost_per_video_per_second', 'chat', 'input_video_ms'],
    ['output_cost_per_video_per_second', 'chat', 'output_video_ms'],
    ['input_cost_per_audio_per_second_above_128k_tokens', 'chat', '128000/input_audio_ms'],
    ['input_cost_per_second', 'audio_transcription', 'input_audio_ms'],
    ['output_cost_per_second', 'audio_transcription', 'input_audio_ms'],
    ['output_cost_per_second', 'audio_speech', 'output_audio_ms'],
    ['output_cost_per_second', 'video_generation', 'output_video_ms'],
    ['output_cost_per_second', 'chat', 'runtime_ms'],
  ])('%s of a model for %s is the rate of %s, in milliseconds', (field, mode, place) => {
    expect(ratesOf({ mode, [field]: 0.0001 })).toEqual({ [place]: '100000000' })
  })

  test('a second that is heard is charged once, even when both directions say so', () => {
    const mode = 'audio_transcription'
    const second = (input: number, output: number) => ({
      mode,
      input_cost_per_second: input,
      output_cost_per_second: output,
    })
    expect(ratesOf(second(0.0001, 0.0001))).toEqual({ input_audio_ms: '100000000' })
    expect(ratesOf(second(0, 0.0001))).toEqual({ input_audio_ms: '100000000' })
    expect(ratesOf(second(0.0001, 0))).toEqual({ input_audio_ms: '100000000' })
  })

  test('the image of an image model is the one it makes, unless that has a price of its own', () => {
    const mode = 'image_generation'
    expect(ratesOf({ mode, input_cost_per_image: 0.04 })).toEqual({ output_image_item: '40000000000000' })
    expect(ratesOf({ mode, input_cost_per_image: 0.001, output_cost_per_image: 0.04 })).toEqual({
      input_image_item: '1000000000000',
      output_image_item: '40000000000000',
    })
  })

  test('of the two names of a cached read the newer counts', () => {
    const both = { input_cost_per_token_cache_hit: 9e-6, cache_read_input_token_cost: 1e-6 }
    expect(ratesOf(both)).toEqual({ cache_read: '1000000000' })
    expect(ratesOf(Object.fromEntries(Object.entries(both).reverse()))).toEqual({ cache_read: '1000000000' })
  })

  test('tiers by prompt size stand instead of the plain price', () => {
    const tiered_pricing = [
      { range: [0, 256_000.0], input_cost_per_token: 4e-7, output_cost_per_reasoning_token: 4e-6 },
      { range: [256_000.0, 1_000_000], input_cost_per_token: 1.2e-6, cache_read_input_token_cost: 1e-7 },
    ]
    expect(ratesOf({ tiered_pricing, output_cost_per_token: 1 })).toEqual({
      input: '400000000',
      reasoning: '4000000000',
      '256000/input': '1200000000',
      '256000/cache_read': '100000000',
    })
  })

  test('tiers by something else price nothing, and are noted', () => {
    const { model, notes } = readModel({
      tiered_pricing: [{ max_results_range: [0, 25], input_cost_per_query: 0.005 }],
    })
    expect(model.prices).toEqual([])
    expect(notes).toContain('price tiers by something other than the size of the prompt are not applied')
  })

  test('a search costs what the middle context size costs', () => {
    const sizes = (low: number, medium: number | undefined, high: number) => ({
      search_context_cost_per_query: {
        search_context_size_low: low,
        search_context_size_medium: medium,
        search_context_size_high: high,
      },
    })
    expect(ratesOf(sizes(0.03, 0.035, 0.05))).toEqual({ search: '35000000000000' })
    expect(ratesOf(sizes(0.03, undefined, 0.05))).toEqual({ search: '50000000000000' })
    expect(readModel(sizes(0.03, 0.035, 0.05)).notes).toHaveLength(1)
    expect(readModel(sizes(0.03, 0.03, 0.03)).notes).toEqual([])
  })

  test('without any price the cost is unknown, and with zeros it is free', () => {
    expect(readModel({}).model.prices).toEqual([])
    expect(readModel({}).notes).toEqual(['no price that we can apply: its cost is unknown'])
    expect(ratesOf({ input_cost_per_token: 0, output_cost_per_token: 0 })).toEqual({ input: '0', output: '0' })
  })

  test.each([
    ['prose', 'a price that is not a number'],
    ['', 'a price that is not a number'],
    [true, 'a price that is not a number'],
    [{}, 'a price that is not a number'],
    ['1e999', 'a price that is not a number'],
    [`0.${'0'.repeat(60)}1`, 'a price that is not a number'],
    [-1e-6, 'a negative price'],
    [1e9, 'a price beyond all reason'],
  ])('a price of %j is left out and noted', (value, reason) => {
    const { model, notes } = readModel({ ...price, cache_read_input_token_cost: value })
    expect(model.prices[0]?.tables[0]?.rates).toEqual({ input: '1000000000', output: '2000000000' })
    expect(notes).toEqual([reason])
  })

  test.each([
    [{ input_dbu_cost_per_token: 1e-6, output_dbu_cost_per_token: 1e-6 }, 'Databricks units are not US dollars'],
    [{ output_cost_per_pixel: 1e-9 }, 'images are not counted in pixels'],
    [{ regional_processing_uplift_multiplier_eu: 1.1 }, 'the surcharge for regional processing is not applied'],
    [{ provider_specific_entry: { us: 1.1, fast: 6 } }, 'surcharges by region and speed mode are not applied'],
    [{ output_cost_per_second_1080p: 1 }, 'prices by the resolution of a video are not applied; the base price is'],
    [{ input_cost_per_video_per_second_above_8s_interval: 1 }, /length of a video/],
    [{ annotation_cost_per_page: 1 }, 'annotated pages are priced as plain pages'],
    [{ ocr_cost_per_credit: 1 }, 'credits of document readers are not counted'],
    [{ code_interpreter_cost_per_session: 1 }, 'code interpreter sessions are not counted'],
    [{ citation_cost_per_token: 1 }, 'citation tokens are not counted apart'],
    [{ dream_cost_per_sheep: 1 }, 'the price field dream_cost_per_sheep is not known'],
    [{ constructor_cost: 1 }, 'the price field constructor_cost is not known'],
  ])('%j prices nothing, and is noted once', (fields, reason) => {
    const { model, notes } = readModel({ ...price, ...fields })
    expect(Object.keys(model.prices[0]?.tables[0]?.rates ?? {})).toEqual(['input', 'output'])
    expect(notes).toEqual([reason instanceof RegExp ? expect.stringMatching(reason) : reason])
  })

  test('audio that only has the price of text is noted', () => {
    const both = { ...price, supports_audio_input: true, supports_audio_output: true }
    expect(readModel(both).notes).toEqual([
      'audio in the prompt is priced as text: there is no rate for it',
      'audio in the answer is priced as text: there is no rate for it',
    ])
    const heard = { ...both, input_cost_per_audio_token: 1e-5, output_cost_per_audio_token: 2e-5 }
    expect(readModel(heard).notes).toEqual([])
    expect(readModel(price).notes).toEqual([])
  })

  test('what costs nothing is not mentioned', () => {
    const silent = {
      provider_specific_entry: { bedrock_invocation_schema: 'titan_v2' },
      source: 'https://example.com',
      metadata: { notes: 'x' },
      rpm: 10,
      comment: 'x',
    }
    expect(readModel({ ...price, ...silent }).notes).toEqual([])
  })
})

describe('what a model can do', () => {
  test('limits', () => {
    const limits = { max_input_tokens: 2_000_000.0, max_output_tokens: '8192', max_tokens: 1 }
    expect(readModel(limits).model).toMatchObject({ contextWindowTokens: 2_000_000, maxOutputTokens: 8_192 })
  })

  test('the old limit is the input’s where no output limit is known, and nothing where one is', () => {
    expect(readModel({ max_tokens: 512 }).model).toMatchObject({
      contextWindowTokens: 512,
      maxOutputTokens: undefined,
    })
    expect(readModel({ max_tokens: 512, max_output_tokens: 512 }).model.contextWindowTokens).toBeUndefined()
    expect(readModel({ max_tokens: 512, max_input_tokens: 9 }).model.contextWindowTokens).toBe(9)
  })

  test.each(['max input tokens, if known', 1.5, -1, 1e12, [], '1e9'])(
    'a limit of %j is left out and noted',
    (value) => {
      const { model, notes } = readModel({ ...price, max_input_tokens: value })
      expect(model.contextWindowTokens).toBeUndefined()
      expect(notes).toEqual(['a limit that is not a number of tokens'])
    },
  )

  test('features', () => {
    const { features } = readModel({
      supports_function_calling: true,
      supports_response_schema: false,
      supports_vision: true,
      supports_reasoning: 'yes',
      supported_endpoints: ['/v1/embeddings'],
      output_vector_size: 768,
    }).model
    expect(features).toEqual({
      tools: true,
      json_schema: false,
      vision: true,
      endpoints: ['/v1/embeddings'],
      output_vector_size: 768,
    })
  })

  test('modalities, as listed or as the flags and the mode say', () => {
    const listed = { supported_modalities: ['text', 'audio'], supported_output_modalities: ['image'] }
    expect(readModel(listed).model).toMatchObject({ inputModalities: ['text', 'audio'], outputModalities: ['image'] })
    expect(readModel({ supports_vision: true, supports_audio_output: true }).model).toMatchObject({
      inputModalities: ['text', 'image'],
      outputModalities: ['text', 'audio'],
    })
    expect(readModel({ mode: 'embedding' }).model.outputModalities).toEqual(['embedding'])
    expect(readModel({ mode: 'audio_transcription' }).model.inputModalities).toEqual(['audio'])
  })

  test.each([
    ['2026-02-28', '2026-02-28', []],
    ['2026-02-30', undefined, ['a deprecation date that is not of the form YYYY-MM-DD']],
    ['soon', undefined, ['a deprecation date that is not of the form YYYY-MM-DD']],
    [null, undefined, []],
  ])('a deprecation date of %j', (value, date, noted) => {
    const { model, notes } = readModel({ ...price, deprecation_date: value })
    expect(model.deprecationDate).toBe(date)
    expect(notes).toEqual(noted)
  })

  test('a model without a mode is for chat', () => {
    expect(readModel({ mode: undefined }).model.mode).toBe('chat')
  })
})

describe('names', () => {
  test.each([
    ['gpt-4o', 'openai', 'openai', 'gpt-4o'],
    ['ft:gpt-4o-2024-08-06', 'openai', 'openai', 'ft:gpt-4o-2024-08-06'],
    ['openai/container', 'openai', 'openai', 'container'],
    ['azure/gpt-4o', 'azure', 'azure', 'gpt-4o'],
    ['azure/eu/gpt-4o-2024-08-06', 'azure', 'azure', 'eu/gpt-4o-2024-08-06'],
    ['azure/gpt-35-turbo-instruct', 'azure_text', 'azure', 'gpt-35-turbo-instruct'],
    ['claude-opus-4-5', 'anthropic', 'anthropic', 'claude-opus-4-5'],
    ['us.anthropic.claude-opus-4-6-v1', 'bedrock_converse', 'bedrock', 'us.anthropic.claude-opus-4-6-v1'],
    ['bedrock/us-east-1/deepseek.v3.2', 'bedrock_converse', 'bedrock', 'us-east-1/deepseek.v3.2'],
    ['vertex_ai/claude-opus-4@20250514', 'vertex_ai-anthropic_models', 'vertex', 'claude-opus-4@20250514'],
    ['gemini-2.5-pro', 'vertex_ai-language-models', 'vertex', 'gemini-2.5-pro'],
    ['gemini/gemini-2.5-pro', 'gemini', 'gemini', 'gemini-2.5-pro'],
    ['groq/openai/gpt-oss-120b', 'groq', 'groq', 'openai/gpt-oss-120b'],
    ['fireworks_ai/nomic-embed', 'fireworks_ai-embedding-models', 'fireworks', 'nomic-embed'],
    ['together_ai/meta/llama', 'together_ai', 'together', 'meta/llama'],
    ['github_copilot/gpt-4o', 'github_copilot', 'github-copilot', 'gpt-4o'],
    ['amazon-nova/nova-lite-v1', 'amazon_nova', 'amazon-nova', 'nova-lite-v1'],
    ['text-completion-codestral/codestral-2405', 'text-completion-codestral', 'codestral', 'codestral-2405'],
  ])('%s of %s is in the catalog %s as %s', (key, litellm_provider, catalog, name) => {
    expect(readModel({ litellm_provider }, key).model).toMatchObject({ catalog, name })
  })

  test.each([
    ['sample_spec', { litellm_provider: 'one of many', max_tokens: 'prose' }, 'a template, not a model'],
    ['fallback_generalizations', { rules: [] }, 'rules about names, not a model'],
    ['nobody', { mode: 'chat' }, 'it names no provider'],
    ['nothing', null, 'it names no provider'],
    ['text', 'text', 'it names no provider'],
    ['number', { litellm_provider: 7 }, 'it names no provider'],
    ['bedrock/*/1-month-commitment/x', { litellm_provider: 'bedrock' }, /reserved capacity/],
    ['azure/hd/1024-x-1792/dall-e-3', { litellm_provider: 'azure' }, /image size/],
    ['max-x-max/50-steps/stability.x', { litellm_provider: 'bedrock' }, /image size/],
    ['fireworks-ai-up-to-4b', { litellm_provider: 'fireworks_ai' }, /price class/],
    ['bad\u0000name', { litellm_provider: 'openai' }, 'its name is not usable'],
    ['x'.repeat(301), { litellm_provider: 'openai' }, 'its name is not usable'],
  ])('%s is skipped', (key, entry, reason) => {
    const { models, skipped } = read({ [key]: entry, m: { litellm_provider: 'openai' } })
    expect(models.map(({ name }) => name)).toEqual(['m'])
    expect(skipped).toEqual([{ key, reason: reason instanceof RegExp ? expect.stringMatching(reason) : reason }])
  })

  test('names that differ in case are different models', () => {
    const { models, skipped } = read({
      'together_ai/baai/bge': { litellm_provider: 'together_ai' },
      'together_ai/BAAI/bge': { litellm_provider: 'together_ai' },
    })
    expect(models.map(({ name }) => name)).toEqual(['baai/bge', 'BAAI/bge'])
    expect(skipped).toEqual([])
  })

  test.each([[false], [true]])(
    'of two keys for a model the one that names its provider counts (reversed: %s)',
    (reversed) => {
      const entries: [string, Fields][] = [
        ['gemini-pro', { litellm_provider: 'vertex_ai-language-models', input_cost_per_token: 9e-6 }],
        ['vertex_ai/gemini-pro', { litellm_provider: 'vertex_ai', input_cost_per_token: 1e-6 }],
      ]
      const { models, skipped } = read(Object.fromEntries(reversed ? entries.reverse() : entries))
      expect(models.map(({ prices }) => prices[0]?.tables[0]?.rates.input)).toEqual(['1000000000'])
      expect(skipped).toEqual([{ key: 'gemini-pro', reason: expect.stringContaining('at another price') }])
    },
  )

  test('properties that every object has are no models and no fields', () => {
    const { models } = read({ constructor: { litellm_provider: 'constructor', toString: 1, mode: 'constructor' } })
    expect(models).toMatchObject([
      { catalog: 'constructor', name: 'constructor', outputModalities: ['text'], prices: [] },
    ])
  })
})

describe('what is no feed', () => {
  test.each(['', 'null', '[]', '"text"', '{', '<html>', '{}', '{"sample_spec": {}}'])('%s is refused', (text) => {
    expect(() => readLitellmFeed(text)).toThrow(FeedError)
  })

  test('too many bytes', () => {
    expect(() => readLitellmFeed(`{"m":{"litellm_provider":"openai"},"x":"${'x'.repeat(feedBytesMax)}"}`)).toThrow(
      /bytes/,
    )
  })

  test('too many entries', () => {
    const feed = Object.fromEntries(Array.from({ length: 20_001 }, (_, index) => [`m${index}`, 0]))
    expect(() => read(feed)).toThrow(/20001 entries/)
  })
})
