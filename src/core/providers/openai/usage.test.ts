import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readOpenAiUsage } from './usage.ts'

const unitsOf = (raw: unknown) => {
  const reading = readOpenAiUsage(raw)
  return reading && 'usage' in reading ? reading.usage.units : reading
}
const sumsOf = (raw: unknown) => {
  const reading = readOpenAiUsage(raw)
  if (!reading || !('usage' in reading)) return reading
  return [reading.usage.inputTokens, reading.usage.outputTokens, reading.usage.totalTokens]
}

describe('taking sums apart', () => {
  test('cached, written, audio and reasoning tokens leave their sums', () => {
    const raw = {
      prompt_tokens: 1000,
      completion_tokens: 300,
      total_tokens: 1300,
      prompt_tokens_details: { cached_tokens: 600, audio_tokens: 100, cache_write_tokens: 50 },
      completion_tokens_details: { reasoning_tokens: 120, audio_tokens: 30, rejected_prediction_tokens: 9 },
    }
    expect(unitsOf(raw)).toEqual({
      input: 250,
      cache_read: 600,
      cache_write_5m: 50,
      input_audio: 100,
      output: 150,
      reasoning: 120,
      output_audio: 30,
    })
    expect(sumsOf(raw)).toEqual([1000, 300, 1300])
  })

  test.each([
    [
      'details that are null',
      { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10, prompt_tokens_details: null },
    ],
    ['details with nulls', { prompt_tokens: 7, completion_tokens: 3, prompt_tokens_details: { cached_tokens: null } }],
    ['times beside counts', { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10, queue_time: 0.18 }],
    ['the names of the Responses API', { input_tokens: 7, output_tokens: 3, total_tokens: 10 }],
    ['a total of 0', { prompt_tokens: 7, completion_tokens: 3, total_tokens: 0 }],
  ])('%s are no obstacle', (_name, raw) => {
    expect(unitsOf(raw)).toEqual({ input: 7, output: 3 })
    expect(sumsOf(raw)).toEqual([7, 3, 10])
  })

  test.each([
    ['DeepSeek', { prompt_cache_hit_tokens: 320, prompt_cache_miss_tokens: 19 }],
    ['Moonshot', { cached_tokens: 320 }],
    ['the Responses API', { input_tokens_details: { cached_tokens: 320 } }],
  ])("%s's name for cached tokens", (_name, details) => {
    expect(unitsOf({ prompt_tokens: 339, completion_tokens: 1, total_tokens: 340, ...details })).toEqual({
      input: 19,
      cache_read: 320,
      output: 1,
    })
  })

  test('cache writes are split by how long they last', () => {
    const raw = {
      prompt_tokens: 100,
      completion_tokens: 1,
      cache_creation_input_tokens: 80,
      cache_creation: { ephemeral_5m_input_tokens: 50, ephemeral_1h_input_tokens: 30 },
    }
    expect(unitsOf(raw)).toEqual({ input: 20, cache_write_5m: 50, cache_write_1h: 30, output: 1 })
  })

  test('cached audio is neither plain cache nor plain audio', () => {
    const details = { cached_tokens: 80, audio_tokens: 50 }
    expect(unitsOf({ prompt_tokens: 100, completion_tokens: 1, prompt_tokens_details: details })).toEqual({
      cache_read: 50,
      input_audio: 20,
      cache_read_audio: 30,
      output: 1,
    })
  })

  test('embeddings have no completion', () => {
    expect(unitsOf({ prompt_tokens: 7, total_tokens: 7 })).toEqual({ input: 7 })
    expect(unitsOf({ total_tokens: 7 })).toEqual({ input: 7 })
  })
})

describe('what the total knows better', () => {
  test('xAI leaves reasoning out of the completion', () => {
    const raw = {
      prompt_tokens: 307,
      completion_tokens: 26,
      total_tokens: 588,
      prompt_tokens_details: { text_tokens: 307, cached_tokens: 255 },
      completion_tokens_details: { reasoning_tokens: 255 },
    }
    expect(unitsOf(raw)).toEqual({ input: 52, cache_read: 255, output: 26, reasoning: 255 })
    expect(sumsOf(raw)).toEqual([307, 281, 588])
  })

  test('thinking that only the total holds is counted', () => {
    expect(unitsOf({ prompt_tokens: 10, completion_tokens: 5, total_tokens: 60 })).toEqual({
      input: 10,
      output: 5,
      reasoning: 45,
    })
  })

  test('cached tokens that are beside the prompt join it', () => {
    const raw = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 115, cache_read_input_tokens: 100 }
    expect(unitsOf(raw)).toEqual({ input: 10, cache_read: 100, output: 5 })
    expect(sumsOf(raw)).toEqual([110, 5, 115])
  })

  test("so do those of Anthropic's own form, which has no total", () => {
    const raw = { input_tokens: 10, output_tokens: 5, cache_read_input_tokens: 100, cache_creation_input_tokens: 20 }
    expect(unitsOf(raw)).toEqual({ input: 10, cache_read: 100, cache_write_5m: 20, output: 5 })
    expect(sumsOf(raw)).toEqual([130, 5, 135])
  })

  test('Perplexity counts reasoning and searches beside everything', () => {
    const raw = {
      prompt_tokens: 33,
      completion_tokens: 7,
      total_tokens: 40,
      reasoning_tokens: 95,
      num_search_queries: 28,
    }
    expect(unitsOf(raw)).toEqual({ input: 33, output: 7, reasoning: 95, search: 28 })
  })
})

describe('nonsense', () => {
  test.each([
    ['negative', { prompt_tokens: -1, completion_tokens: 3 }],
    ['fractional', { prompt_tokens: 1.5, completion_tokens: 3 }],
    ['too large', { prompt_tokens: 2 ** 53, completion_tokens: 3 }],
    ['a sum that is too large', { prompt_tokens: 2 ** 53 - 1, completion_tokens: 3 }],
    ['a string', { prompt_tokens: '7', completion_tokens: 3 }],
    ['a total that is no number', { prompt_tokens: 7, completion_tokens: 3, total_tokens: 'ten' }],
    [
      'more cached than there is',
      { prompt_tokens: 7, completion_tokens: 3, prompt_tokens_details: { cached_tokens: 8 } },
    ],
    [
      'more reasoning than there is',
      { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10, completion_tokens_details: { reasoning_tokens: 4 } },
    ],
    [
      'more pictures than there is',
      { prompt_tokens: 7, completion_tokens: 3, prompt_tokens_details: { image_tokens: 8 } },
    ],
    ['a negative part', { prompt_tokens: 7, completion_tokens: 3, completion_tokens_details: { audio_tokens: -2 } }],
  ])('%s is implausible, and kept', (_name, raw) => {
    expect(readOpenAiUsage(raw)).toEqual({ implausible: raw })
  })

  test.each([[undefined], [null], ['7'], [[]], [{}], [{ prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }]])(
    '%j reports nothing',
    (raw) => {
      expect(readOpenAiUsage(raw)).toBeUndefined()
    },
  )

  test('whatever comes, units are positive integers that add up', () => {
    const number = fc.oneof(fc.nat(50), fc.constantFrom(null, undefined, -1, 0.5, Number.NaN, 2 ** 53, 'x'))
    const details = fc.option(
      fc.record({ cached_tokens: number, audio_tokens: number, image_tokens: number, reasoning_tokens: number }),
    )
    const raw = fc.record({
      prompt_tokens: number,
      completion_tokens: number,
      total_tokens: number,
      cache_creation_input_tokens: number,
      prompt_tokens_details: details,
      completion_tokens_details: details,
    })
    fc.assert(
      fc.property(raw, (usage) => {
        const reading = readOpenAiUsage(usage)
        if (!reading || !('usage' in reading)) return
        const { units, inputTokens, outputTokens, totalTokens } = reading.usage
        const amounts = Object.values(units)
        expect(amounts.every((amount) => Number.isSafeInteger(amount) && amount > 0)).toBe(true)
        expect(amounts.reduce((sum, amount) => sum + amount, 0)).toBe(inputTokens + outputTokens)
        expect(totalTokens).toBe(inputTokens + outputTokens)
      }),
      { numRuns: 2_000 },
    )
  })
})

test.each([
  ['flex', 'flex'],
  ['priority', 'priority'],
  ['on_demand', 'default'],
  [null, 'default'],
])('service tier %j is priced as %s', (given, tier) => {
  expect(readOpenAiUsage({ prompt_tokens: 1 }, given)).toMatchObject({ usage: { serviceTier: tier } })
})
