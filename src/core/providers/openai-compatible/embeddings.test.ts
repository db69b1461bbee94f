import { describe, expect, test } from 'vitest'
import { base64FromFloats, countInputs, decodeEmbeddings } from './embeddings.ts'

const decode = (body: unknown, encoding: 'float' | 'base64' = 'float', count?: number) => {
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
  const { answer, failure, facts } = decodeEmbeddings(bytes, encoding, { model: 'asked', count, credential: 'sk-1' })
  return { answer: answer && JSON.parse(answer.toString()), failure, facts }
}
const list = (...embeddings: unknown[]) => ({
  object: 'list',
  data: embeddings.map((embedding, index) => ({ object: 'embedding', index, embedding })),
  model: 'm',
  usage: { prompt_tokens: 3, total_tokens: 3 },
})
/** 1.0 and -2.0 as little-endian floats. */
const base64 = 'AACAPwAAAMA='

describe('vectors', () => {
  test('floats become base64 and base64 becomes floats, as the client asked', () => {
    expect(base64FromFloats([1, -2])).toBe(base64)
    expect(decode(list([1, -2]), 'base64').answer).toEqual(list(base64))
    expect(decode(list(base64), 'float').answer).toEqual(list([1, -2]))
  })

  test('what is in the right form already stays as it is', () => {
    expect(decode(list([0.1, -2]), 'float').answer).toEqual(list([0.1, -2]))
    expect(decode(list(base64), 'base64').answer).toEqual(list(base64))
  })

  test.each([
    ['an empty list', []],
    ['a list of lists', [[1]]],
    ['null in a list', [1, null]],
    ['half a float', 'AACAPwA='],
    ['no base64', 'not base64!'],
    ['not a number', base64FromFloats([Number.NaN])],
    ['nothing', null],
  ])('%s is no vector', (_name, embedding) => {
    expect(decode(list([1], embedding)).failure).toMatchObject({ error: { code: 'provider_bad_response' } })
  })
})

describe('lists', () => {
  test('what is missing is filled in, usage is read', () => {
    const { answer, facts } = decode({
      data: [{ embedding: [1] }, { embedding: [2] }],
      usage: { total_tokens: 7 },
      x_own: 1,
    })
    expect(answer).toEqual({
      x_own: 1,
      object: 'list',
      data: [
        { object: 'embedding', index: 0, embedding: [1] },
        { object: 'embedding', index: 1, embedding: [2] },
      ],
      model: 'asked',
      usage: { prompt_tokens: 7, total_tokens: 7 },
    })
    expect(facts).toMatchObject({ usage: { inputTokens: 7, outputTokens: 0 }, finish: 'stop' })
  })

  test('usage that nobody reported is not made up', () => {
    expect(decode({ data: [{ embedding: [1] }] }).answer).not.toHaveProperty('usage')
  })

  test('fewer embeddings than inputs are no answer', () => {
    expect(decode(list([1]), 'float', 2).failure?.kind).toBe('malformed')
    expect(decode(list([1], [2]), 'float', 2).failure).toBeUndefined()
  })

  test.each([
    ['an empty body', ''],
    ['half of one', '{"data":[{"embedding":[1,'],
    ['HTML', '<html>'],
    ['no list', { object: 'list' }],
    ['an empty list', { data: [] }],
    ['null', 'null'],
  ])('%s is no answer', (_name, body) => {
    expect(decode(body)).toMatchObject({
      answer: undefined,
      failure: { kind: 'malformed', error: { code: 'provider_bad_response' } },
    })
  })

  test('an error of status 200 is an error', () => {
    expect(decode({ error: { message: 'Not sk-1.', code: 400 } }).failure).toMatchObject({
      kind: 'in-stream',
      error: { code: 'invalid_body', message: 'Not [redacted].' },
    })
  })
})

test.each([
  ['a text', 1],
  [['a', 'b'], 2],
  [[1, 2, 3], 1],
  [[[1, 2], [3]], 2],
  [undefined, undefined],
])('input %j asks for %s embeddings', (input, count) => {
  expect(countInputs(input)).toBe(count)
})
