import fc from 'fast-check'
import { expect, test } from 'vitest'
import { canonicalJson } from './canonical-json.ts'

const canonical = (json: string): string => canonicalJson(Buffer.from(json)).toString('utf8')

test.for([
  ['white space goes', ' {\n "a" : [ 1 ,\t2 ] , "b" : { } ,"c":[ ]\r\n}\n', '{"a":[1,2],"b":{},"c":[]}'],
  [
    'members are sorted, at every depth',
    '{"b":{"y":1,"x":[{"q":1,"p":2}]},"a":2}',
    '{"a":2,"b":{"x":[{"p":2,"q":1}],"y":1}}',
  ],
  ['items of arrays are not', '[3,1,2]', '[3,1,2]'],
  [
    'numbers stay as written',
    '{"a":1.0,"b":1e3,"c":-0,"d":12345678901234567890}',
    '{"a":1.0,"b":1e3,"c":-0,"d":12345678901234567890}',
  ],
  ['texts keep their white space', '{"a":" {\\"b\\" : 1} "}', '{"a":" {\\"b\\" : 1} "}'],
  ['escapes are the shortest', String.raw`["\u0041\/é\u00e9\n\u000a\ud83d\ude00"]`, String.raw`["A/éé\n\n😀"]`],
  ['names, too', String.raw`{"b":1,"\u0061":2}`, '{"a":2,"b":1}'],
  [
    'half a surrogate is no other one',
    String.raw`["\uD800","\ud801","\ufffd"]`,
    `${String.raw`["\ud800","\ud801","`}\ufffd"]`,
  ],
  ['backslashes before the quote', String.raw`{"a":"\\","b":"\\\"","c":1}`, String.raw`{"a":"\\","b":"\\\"","c":1}`],
  ['a name that begins another one', '{"ab":1,"a":2,"a b":3}', '{"a b":3,"a":2,"ab":1}'],
  ['members of one name keep their order', '{"b":0,"a":1,"a":2}', '{"a":1,"a":2,"b":0}'],
  ['words', '[true,false , null]', '[true,false,null]'],
] as const)('%s', ([, given, expected]) => {
  expect(canonical(given)).toBe(expected)
})

test('a text with a broken escape stays as it is', () => {
  expect(canonical(String.raw`{"b":"\x","a":"\u12"}`)).toBe(String.raw`{"a":"\u12","b":"\x"}`)
})

test('what differs stays different', () => {
  const forms = [
    '{"a":1}',
    '{"a":1.0}',
    '{"a":"1"}',
    '{"a":[1]}',
    '{"a":{"a":1}}',
    '{"a":null}',
    '{}',
    '{"A":1}',
    '[{"a":1}]',
  ]
  expect(new Set(forms.map(canonical)).size).toBe(forms.length)
})

test('very many members stay in the order in which they came', () => {
  const members = Array.from({ length: 10_001 }, (_, index) => `"${10_001 - index}":0`)
  const json = `{${members.join(',')}}`
  expect(canonical(json)).toBe(json)
})

test('what ends early is an error and no endless loop', () => {
  for (const cut of ['{', '{"a"', '{"a":', '{"a":1', '{"a":1,', '[', '[1', '[1,', '"a', ''])
    expect(() => canonical(cut)).toThrow('Not JSON')
})

/** JSON with random white space, and members in random order. */
function spelled(value: unknown, random: () => number): string {
  const space = (): string => ['', ' ', '\n', '\t\r'][Math.floor(random() * 4)] as string
  if (Array.isArray(value)) return `[${value.map((item) => space() + spelled(item, random) + space()).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).map(([name, item]) => ({ at: random(), text: spelledMember(name, item) }))
  function spelledMember(name: string, item: unknown): string {
    return `${space()}${JSON.stringify(name)}${space()}:${space()}${spelled(item, random)}${space()}`
  }
  return `{${members.sort((a, b) => a.at - b.at).map(({ text }) => text)}}`
}

test('every spelling of a value has the same form, and that form is the value', () => {
  fc.assert(
    fc.property(
      fc.jsonValue({ maxDepth: 5 }),
      fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
      (value, stream) => {
        const random = (): number => stream.next().value as number
        const json = spelled(value, random)
        const form = canonical(json)
        expect(form.length).toBeLessThanOrEqual(json.length)
        expect(canonical(spelled(value, random))).toBe(form)
        expect(canonical(form)).toBe(form)
        expect(JSON.parse(form)).toEqual(JSON.parse(json))
      },
    ),
  )
})
