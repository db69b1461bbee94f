import { describe, expect, test } from 'vitest'
import { readInferenceRequest } from '../../inference/read-inference-request.ts'
import { readEmbeddingsRequest } from '../embeddings-answer.ts'
import { decodeGeminiEmbeddings, toBatchEmbedContents, toPredict } from './embeddings.ts'

const asked = (request: object) =>
  readEmbeddingsRequest(
    readInferenceRequest('embeddings', Buffer.from(JSON.stringify({ model: 'm', ...request }))),
    'Gemini',
  )
const options = { model: 'm', count: 2, encodingFormat: 'float' as 'float' | 'base64', credential: 'secret' }
const decoded = (body: unknown, more: Partial<typeof options> = {}) => {
  const { failure, facts, tail } = decodeGeminiEmbeddings(Buffer.from(JSON.stringify(body)), { ...options, ...more })
  return { failure, facts, answer: tail && JSON.parse(tail.toString()) }
}

test('texts are asked for one by one', () => {
  expect(toBatchEmbedContents(asked({ input: ['a', 'b'], dimensions: 3 }), 'm')).toEqual({
    requests: [
      { model: 'models/m', content: { parts: [{ text: 'a' }] }, outputDimensionality: 3 },
      { model: 'models/m', content: { parts: [{ text: 'b' }] }, outputDimensionality: 3 },
    ],
  })
  expect(toPredict(asked({ input: 'a' }))).toEqual({ instances: [{ content: 'a' }] })
  expect(toPredict(asked({ input: 'a', dimensions: 3 }))).toMatchObject({ parameters: { outputDimensionality: 3 } })
})

test.each([
  [{ input: [[1, 2]] }, 'input'],
  [{ input: [1, 2] }, 'input'],
  [{ input: 'a', dimensions: 0 }, 'dimensions'],
])('%j is refused by name', (request, param) => {
  expect(() => asked(request)).toThrow(expect.objectContaining({ param }))
})

describe('answers', () => {
  const embeddings = [{ values: [1, 0.5] }, { values: [0, -1] }]

  test('of the Gemini API are lists of vectors', () => {
    expect(decoded({ embeddings }).answer).toEqual({
      object: 'list',
      data: [
        { object: 'embedding', index: 0, embedding: [1, 0.5] },
        { object: 'embedding', index: 1, embedding: [0, -1] },
      ],
      model: 'm',
    })
    expect(decoded({ embeddings, usageMetadata: { promptTokenCount: 4 } }).facts.usage?.units).toEqual({ input: 4 })
  })

  test('of Vertex count their tokens one by one', () => {
    const predictions = embeddings.map(({ values }, at) => ({
      embeddings: { values, statistics: { token_count: at + 1 } },
    }))
    const { answer, facts } = decoded({ predictions })
    expect(answer.usage).toEqual({ prompt_tokens: 3, total_tokens: 3 })
    expect(facts.usage?.units).toEqual({ input: 3 })
  })

  test('(43) are base64 of little-endian floats where the client asked for that', () => {
    const { answer } = decoded({ embeddings }, { encodingFormat: 'base64' })
    expect(answer.data[0].embedding).toBe(Buffer.from(new Float32Array([1, 0.5]).buffer).toString('base64'))
  })

  test.each([{}, { embeddings: [embeddings[0]] }, { embeddings: [embeddings[0], { values: ['a'] }] }, []])(
    '%j are none',
    (body) => {
      expect(decoded(body).failure?.kind).toBe('malformed')
    },
  )

  test('an error is a failure', () => {
    expect(decoded({ error: { code: 429, message: 'Slow.' } }).failure?.error.code).toBe('provider_rate_limited')
  })
})
