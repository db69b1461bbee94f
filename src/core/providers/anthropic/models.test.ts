import { expect, test } from 'vitest'
import { abilitiesOf } from './models.ts'

test.each([
  ['claude-3-5-haiku-latest', { structuredOutputs: false, adaptiveThinking: false, thinking: false, sampling: 'both' }],
  [
    'claude-3-7-sonnet-20250219',
    { structuredOutputs: false, adaptiveThinking: false, thinking: true, sampling: 'both' },
  ],
  ['claude-sonnet-4-20250514', { structuredOutputs: false, adaptiveThinking: false, thinking: true, sampling: 'both' }],
  [
    'claude-opus-4-1-20250805',
    { structuredOutputs: true, adaptiveThinking: false, thinking: true, sampling: 'either' },
  ],
  ['claude-haiku-4-5', { structuredOutputs: true, adaptiveThinking: false, thinking: true, sampling: 'either' }],
  ['claude-opus-4-6', { structuredOutputs: true, adaptiveThinking: true, thinking: true, sampling: 'either' }],
  ['claude-opus-4-7', { structuredOutputs: true, adaptiveThinking: true, thinking: true, sampling: 'none' }],
  [
    'eu.anthropic.claude-sonnet-4-20250514-v1:0',
    { structuredOutputs: false, adaptiveThinking: false, thinking: true, sampling: 'both' },
  ],
  ['my-own-name', { structuredOutputs: true, adaptiveThinking: true, thinking: true, sampling: 'either' }],
])('%s', (model, abilities) => {
  expect(abilitiesOf(model)).toEqual(abilities)
})
