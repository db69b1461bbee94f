import fc from 'fast-check'
import { expect, test } from 'vitest'
import { DuplicateMemberError, topLevelSpans } from './json-spans.ts'

const spansIn = (text: string): Map<string, string> => {
  const bytes = Buffer.from(text)
  return new Map([...topLevelSpans(bytes)].map(([name, { start, end }]) => [name, bytes.toString('utf8', start, end)]))
}

test('every member of any object is found with exactly its value', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue()),
      fc.constantFrom(0, 1, '\t'),
      (object, indent) => {
        const spans = spansIn(JSON.stringify(object, null, indent))
        expect([...spans.keys()].sort()).toEqual(Object.keys(object).sort())
        for (const [name, value] of spans) expect(JSON.parse(value)).toEqual(JSON.parse(JSON.stringify(object[name])))
      },
    ),
    { numRuns: 2_000 },
  )
})

test('quotes, braces and backslashes inside strings do not end a value', () => {
  const long = 'x'.repeat(100)
  expect(spansIn(`{"a":"${long}\\\\\\"}","b":["]",{"c":"\\""}],"d":-1.5e3 }`)).toEqual(
    new Map([
      ['a', `"${long}\\\\\\"}"`],
      ['b', '["]",{"c":"\\""}]'],
      ['d', '-1.5e3'],
    ]),
  )
})

test.each(['{"model":"a","model":"b"}', '{"model":"a","mod\\u0065l":"b"}', '{"\\u006dodel":1,"x":{},"model":2}'])(
  'a member that occurs twice is refused, however it is spelled: %s',
  (text) => {
    expect(() => topLevelSpans(Buffer.from(text))).toThrow(DuplicateMemberError)
  },
)

test('the same name on another level is no duplicate', () => {
  expect(spansIn('{"model":"a","metadata":{"model":"b"}}').get('model')).toBe('"a"')
})
