import { base64FromFloats, type EmbeddingEncoding } from '../openai-compatible/embeddings.ts'

const dimensionsDefault = 256
const dimensionsMax = 3_072
/** What comes after that many words of an input changes nothing. */
const wordsMax = 2_000
/** In how many dimensions a word leaves its mark. */
const marksPerWord = 8

/**
 * One vector of length 1 per input: the same for the same words, and nearer the more words two texts share.
 *
 * @param input - a text, a list of token ids, or a list of either
 */
export function embeddingsFor(input: unknown, dimensions: unknown, encoding: EmbeddingEncoding): unknown[] {
  const size =
    typeof dimensions === 'number' ? Math.min(Math.max(1, Math.floor(dimensions)), dimensionsMax) : dimensionsDefault
  const inputs = Array.isArray(input) && typeof input[0] !== 'number' ? input : [input]
  return inputs.map((one, index) => {
    const vector = vectorOf(typeof one === 'string' ? one : JSON.stringify(one), size)
    return { object: 'embedding', index, embedding: encoding === 'base64' ? base64FromFloats(vector) : vector }
  })
}

function vectorOf(text: string, size: number): number[] {
  const vector = new Array<number>(size).fill(0)
  const words = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []
  for (const word of words.slice(0, wordsMax)) {
    let hash = hashOf(word)
    for (let mark = 0; mark < marksPerWord; mark++) {
      hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) + 0x9e3779b9
      const at = (hash >>> 1) % size
      vector[at] = (vector[at] as number) + (hash & 1 ? 1 : -1)
    }
  }
  const length = Math.hypot(...vector)
  if (length === 0) return vector.fill(1 / Math.sqrt(size))
  return vector.map((value) => Math.fround(value / length))
}

/** FNV-1a, 32 bits. */
function hashOf(word: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < word.length; at++) hash = Math.imul(hash ^ word.charCodeAt(at), 0x01000193)
  return hash
}
