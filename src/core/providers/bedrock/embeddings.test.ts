import { expect, test } from 'vitest'
import { decodeInvocations, toInvocations } from './embeddings.ts'

const titan = 'amazon.titan-embed-text-v2:0'
const cohere = 'cohere.embed-multilingual-v3'
const json = (value: unknown) => Buffer.from(JSON.stringify(value))
const options = { model: titan, count: 2, encodingFormat: 'float' as 'float' | 'base64' }

test('Titan is asked for one text at a time, Cohere for all at once', () => {
  const asked = { texts: ['a', 'b'], dimensions: undefined }
  expect(toInvocations(asked, titan)).toEqual([{ inputText: 'a' }, { inputText: 'b' }])
  expect(toInvocations({ ...asked, dimensions: 256 }, titan)[0]).toEqual({ inputText: 'a', dimensions: 256 })
  expect(toInvocations(asked, cohere)).toEqual([{ texts: ['a', 'b'], input_type: 'search_document' }])
  expect(toInvocations({ ...asked, dimensions: 256 }, cohere)[0]).toMatchObject({ output_dimension: 256 })
})

test("Titan's answers are put together, and their tokens are counted together", () => {
  const { tail, facts } = decodeInvocations(
    [
      { body: json({ embedding: [1, 2], inputTextTokenCount: 3 }), inputTokens: 3 },
      { body: json({ embedding: [3, 4], inputTextTokenCount: 4 }), inputTokens: 4 },
    ],
    options,
  )
  expect(facts.usage?.units).toEqual({ input: 7 })
  expect(JSON.parse(String(tail))).toEqual({
    object: 'list',
    data: [
      { object: 'embedding', index: 0, embedding: [1, 2] },
      { object: 'embedding', index: 1, embedding: [3, 4] },
    ],
    model: titan,
    usage: { prompt_tokens: 7, total_tokens: 7 },
  })
})

test.each([
  [
    [
      [1, 2],
      [3, 4],
    ],
  ],
  [
    {
      float: [
        [1, 2],
        [3, 4],
      ],
    },
  ],
])("Cohere's %j are a list, counted by a header", (embeddings) => {
  const { tail, facts } = decodeInvocations([{ body: json({ embeddings }), inputTokens: 9 }], options)
  expect(facts.usage?.units).toEqual({ input: 9 })
  expect(JSON.parse(String(tail)).data).toHaveLength(2)
})

test('(43) they are base64 of little-endian floats where the client asked for that', () => {
  const body = json({
    embeddings: [
      [1, 0.5],
      [0, -1],
    ],
  })
  const { tail } = decodeInvocations([{ body, inputTokens: undefined }], { ...options, encodingFormat: 'base64' })
  expect(JSON.parse(String(tail)).data[0].embedding).toBe(
    Buffer.from(new Float32Array([1, 0.5]).buffer).toString('base64'),
  )
})

test.each(['', '[]', '{}', '{"embedding":["a"]}', '{"embeddings":[[1]]}'])('%j is none', (body) => {
  expect(decodeInvocations([{ body: Buffer.from(body), inputTokens: 1 }], options).failure?.kind).toBe('malformed')
})
