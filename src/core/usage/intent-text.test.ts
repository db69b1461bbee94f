import fc from 'fast-check'
import { expect, test } from 'vitest'
import { usageIntent } from '../../../test/support/usage-records.ts'
import { intentText } from './intent-text.ts'
import { storable } from './storable-text.ts'
import type { UsageIntent } from './usage-record.ts'

test('an intent is told as it is, whatever the calls of its key before it were', () => {
  const tags = [{}, { team: 'a "team"' }, { 'k\0': 'v\ud800' }]
  const text = fc.constantFrom('gpt-4o-mini', 'smart', 'Zoë 🦊', 'a\0b\ud800', '"\\')
  const changes = fc.record(
    {
      requested_model: text,
      model: text,
      alias: fc.option(text),
      provider: text,
      stream: fc.boolean(),
      unpriced: fc.boolean(),
      operation: fc.constantFrom('chat' as const, 'embeddings' as const),
      team_id: fc.option(fc.uuid()),
      caller_key_id: fc.option(fc.uuid()),
      price_version: fc.option(fc.uuid()),
      tags: fc.constantFrom(...tags),
      input_tokens_estimate: fc.nat(),
      budget_period_ids: fc.array(fc.uuid(), { maxLength: 2 }),
      budget_lease_ids: fc.array(fc.option(fc.uuid()), { maxLength: 2 }),
      end_user: fc.option(text),
      client_request_id: fc.option(text),
    },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(fc.array(changes, { maxLength: 40 }), (calls) => {
      for (const call of calls) {
        const intent = usageIntent(call as Partial<UsageIntent>)
        expect(JSON.parse(intentText(intent))).toEqual(storable(intent))
        expect(intentText(intent).startsWith(`{"request_id":"${intent.request_id}","`)).toBe(true)
      }
    }),
    { numRuns: 300 },
  )
})

test('a record that is no record is refused', () => {
  expect(() => intentText(usageIntent({ request_id: 'short' }))).toThrow(RangeError)
  expect(() => intentText(usageIntent({ end_user: 'x'.repeat(1 << 20) }))).toThrow(RangeError)
})
