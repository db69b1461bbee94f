import { expect, test } from 'vitest'
import { toOpenAiUsage } from './openai-usage.ts'

const sums = { inputTokens: 10, outputTokens: 11, totalTokens: 21, serviceTier: 'default' } as const

test('details are there where something is known', () => {
  const units = { input: 1, cache_read: 2, cache_write_5m: 3, cache_write_1h: 4, output: 5, reasoning: 6 }
  expect(toOpenAiUsage({ units, ...sums })).toEqual({
    prompt_tokens: 10,
    completion_tokens: 11,
    total_tokens: 21,
    prompt_tokens_details: { cached_tokens: 2, cache_write_tokens: 7 },
    completion_tokens_details: { reasoning_tokens: 6 },
  })
})

test('audio is in its sums, cached audio in both of its', () => {
  const units = { input: 1, input_audio: 4, cache_read_audio: 5, output: 8, output_audio: 3 }
  expect(toOpenAiUsage({ units, ...sums })).toMatchObject({
    prompt_tokens_details: { cached_tokens: 5, audio_tokens: 9 },
    completion_tokens_details: { audio_tokens: 3 },
  })
})

test('what is unknown is left out, not called zero', () => {
  expect(toOpenAiUsage({ units: { input: 10, output: 11 }, ...sums })).toEqual({
    prompt_tokens: 10,
    completion_tokens: 11,
    total_tokens: 21,
    prompt_tokens_details: { cached_tokens: 0 },
  })
})

test("a provider's own sums and members are shown, and what it lacks is filled in", () => {
  const units = { input: 7, cache_read: 3, output: 5, reasoning: 6 }
  const reported = {
    prompt_tokens: 10,
    completion_tokens: 5,
    prompt_tokens_details: null,
    completion_tokens_details: { accepted_prediction_tokens: 0 },
    cost: 0.01,
  }
  expect(toOpenAiUsage({ units, ...sums }, reported)).toEqual({
    prompt_tokens: 10,
    completion_tokens: 5,
    total_tokens: 21,
    prompt_tokens_details: { cached_tokens: 3 },
    completion_tokens_details: { reasoning_tokens: 6, accepted_prediction_tokens: 0 },
    cost: 0.01,
  })
})
