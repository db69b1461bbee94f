import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createOpenCalls, type OpenCall } from './open-calls.ts'

const callOf = (id: string, sequence: number): OpenCall => ({
  intent: { request_id: id } as OpenCall['intent'], // nothing else of it is looked at
  text: id,
  sequence,
})

test('calls are found, replaced, ended and told by segment as in a plain map', () => {
  // Few ids, so that they meet: three of them in one bucket, one with an ending that is no number.
  const ids = fc.constantFrom('a-00f', 'b-00f', 'c-00f', 'd-fff', 'e-zzz')
  const steps = fc.array(fc.tuple(fc.constantFrom('set', 'delete'), ids, fc.integer({ min: 1, max: 3 })))
  fc.assert(
    fc.property(steps, (list) => {
      const calls = createOpenCalls()
      const model = new Map<string, OpenCall>()
      for (const [step, id, sequence] of list) {
        if (step === 'set') {
          const call = callOf(id, sequence)
          calls.set(call)
          model.set(id, call)
        } else {
          calls.delete(id)
          model.delete(id)
        }
        expect(calls.size).toBe(model.size)
        expect(calls.get(id)).toBe(model.get(id))
        for (const each of [1, 2, 3]) {
          const expected = [...model.values()].filter((call) => call.sequence === each)
          expect(new Set(calls.of(each))).toEqual(new Set(expected))
          expect(calls.has(each)).toBe(expected.length > 0)
        }
      }
    }),
    { numRuns: 500 },
  )
})
