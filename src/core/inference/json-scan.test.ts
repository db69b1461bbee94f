import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ItemObserver, ScanRefusal, scanJsonObject } from './json-scan.ts'

const spansIn = (text: string): Map<string, string> => {
  const bytes = Buffer.from(text)
  const { spans } = scanJsonObject(bytes)
  return new Map([...spans].map(([name, { start, end }]) => [name, bytes.toString('utf8', start, end)]))
}

const refusalOf = (text: string): ScanRefusal | undefined => {
  try {
    scanJsonObject(Buffer.from(text))
    return undefined
  } catch (error) {
    if (error instanceof ScanRefusal) return error
    throw error
  }
}

const names = fc.string({ unit: 'binary' }).filter((name) => name !== '__proto__' && name !== 'constructor')
const objects = fc
  .dictionary(names, fc.jsonValue({ maxDepth: 5 }))
  .filter((object) => !JSON.stringify(object).includes('__proto__'))

test('every member of any object is found with exactly its value', () => {
  fc.assert(
    fc.property(objects, fc.constantFrom(0, 1, '\t'), (object, indent) => {
      const spans = spansIn(JSON.stringify(object, null, indent))
      expect([...spans.keys()].sort()).toEqual(Object.keys(object).sort())
      for (const [name, value] of spans) expect(JSON.parse(value)).toEqual(JSON.parse(JSON.stringify(object[name])))
    }),
    { numRuns: 2_000 },
  )
})

test('an object cut short anywhere is no object', () => {
  fc.assert(
    fc.property(objects, fc.nat(), (object, cut) => {
      const text = Buffer.from(JSON.stringify(object))
      const part = text.subarray(0, cut % text.length)
      expect(() => scanJsonObject(part)).toThrow(ScanRefusal)
    }),
    { numRuns: 2_000 },
  )
})

const bytesOfNote = ['{', '}', '[', ']', ',', ':', '"', '\\', 'u', 'x', '1', '\n', '\0']

test('what a parser refuses is refused as bad syntax, and nothing else is, one byte changed anywhere', () => {
  fc.assert(
    fc.property(objects, fc.nat(), fc.constantFrom(...bytesOfNote), (object, at, byte) => {
      const text = JSON.stringify(object)
      const changed = text.slice(0, at % text.length) + byte + text.slice((at % text.length) + 1)
      if (isParsed(changed)) expect(refusalOf(changed)?.kind).not.toBe('syntax')
      else expect(refusalOf(changed)).toBeDefined()
    }),
    { numRuns: 3_000 },
  )
})

function isParsed(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

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

test('long texts are searched and not stepped through, whatever is in them', () => {
  const long = 'x'.repeat(3_000)
  const texts = [
    `${long}"${long}\\`,
    `${long}\\`.repeat(5),
    `${long}\n`.repeat(5),
    `${'"'.repeat(3_000)}${long}`,
    `${long}é`,
  ]
  for (const text of texts) {
    const value = JSON.stringify(text)
    expect(spansIn(`{"a":${value},"b":1}`).get('a')).toBe(value)
    expect(refusalOf(`{"a":${value.slice(0, -1)}\\q"}`)?.kind).toBe('syntax')
    expect(refusalOf(`{"a":${value.slice(0, -1)}`)?.kind).toBe('syntax')
  }
})

test.each(['"\\q"', '"\\u12g4"', '"\\u123"', '"\\', '"\t"', '"\0"', '"a'])('%j is no string', (text) => {
  expect(refusalOf(`{"a":[${text}]}`)?.kind).toBe('syntax')
  expect(refusalOf(`{${text}:1}`)?.kind).toBe('syntax')
})

test('a control character deep inside of a long name with escapes is no valid name, and no fault of ours', () => {
  expect(refusalOf(`{"\\u0061${'a'.repeat(3_000)}\t":1}`)?.kind).toBe('syntax')
})

test('the items of one top-level array are shown as they are passed', () => {
  const seen: string[] = []
  const observer: ItemObserver = {
    list: 'messages',
    item: (firstByte) => void seen.push(`item ${String.fromCharCode(firstByte)}`),
    member: (name, firstByte, valueBytes) => void seen.push(`${name} ${String.fromCharCode(firstByte)} ${valueBytes}`),
    itemEnded: () => void seen.push('ended'),
  }
  const messages = [{ role: 'user', content: [{ type: 'text' }] }, 'text', {}]
  scanJsonObject(Buffer.from(JSON.stringify({ before: [{ a: 1 }], messages, after: [{ b: { c: 1 } }] })), observer)
  expect(seen).toEqual(['item {', 'role " 6', 'content [ 17', 'ended', 'item "', 'ended', 'item {', 'ended'])
})

test.each(['{"model":"a","model":"b"}', '{"model":"a","mod\\u0065l":"b"}', '{"\\u006dodel":1,"x":{},"model":2}'])(
  'a member that occurs twice is refused, however it is spelled: %s',
  (text) => {
    expect(refusalOf(text)).toMatchObject({ kind: 'shape', member: 'model' })
  },
)

test('the same name on another level is no duplicate', () => {
  expect(spansIn('{"model":"a","metadata":{"model":"b"}}').get('model')).toBe('"a"')
})

describe('limits', () => {
  test.each([
    [`{"a":${'['.repeat(32)}${']'.repeat(32)}}`, 'nested deeper'],
    [`{"a":[${'1,'.repeat(10_000)}1]}`, 'more than 10000 items'],
    ['{"a":{"__proto__":1}}', '__proto__'],
    ['{"a":{"\\u005f_proto__":1}}', '__proto__'],
    ['{"a":{"constructor":{"prototype":1}}}', 'constructor.prototype'],
    ['[1]', 'must be a JSON object'],
  ])('%.40s is refused', (text, message) => {
    expect(refusalOf(text)).toMatchObject({ kind: 'shape', message: expect.stringContaining(message) })
  })

  test('31 levels below the top, 10,000 items and a constructor of its own are fine', () => {
    expect(refusalOf(`{"a":${'['.repeat(31)}${']'.repeat(31)}}`)).toBeUndefined()
    expect(refusalOf(`{"a":[${'1,'.repeat(9_999)}1]}`)).toBeUndefined()
    expect(refusalOf('{"constructor":{"name":1}}')).toBeUndefined()
  })
})

test('items of top-level arrays are counted, text is measured, attachments are told apart', () => {
  const data = `data:image/png;base64,${'A'.repeat(2_000)}`
  const { items, textBytes, attachments } = scanJsonObject(
    Buffer.from(JSON.stringify({ messages: [{ c: 'é' }, { c: 'abc' }], empty: [], image: data, n: 1 })),
  )
  expect([...items]).toEqual([
    ['messages', 2],
    ['empty', 0],
  ])
  expect({ textBytes, attachments }).toEqual({ textBytes: 5, attachments: 1 })
})
