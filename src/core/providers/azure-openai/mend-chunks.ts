import { isRecord } from '../json.ts'
import type { ChunkMender } from '../openai/relay-stream.ts'

/**
 * Azure's content filter writes into streams what no answer of OpenAI's has: a first chunk with an empty id, and, where
 * it works asynchronously, annotations without id, model and delta. The first one's members go with the next chunk; the
 * others are given what they lack, so that a client which insists on either finds it.
 *
 * https://learn.microsoft.com/azure/ai-foundry/openai/how-to/content-streaming
 */
export function createChunkMender(): ChunkMender {
  let identity: Record<string, unknown> | undefined
  let held: Record<string, unknown> | undefined

  return {
    isDue: (frame) => /"id"\s*:\s*""/.test(frame) || !frame.includes('"delta"'),
    mended(chunk) {
      const { id, object, created, model, choices } = chunk
      if (typeof id !== 'string' || id === '') {
        if (identity) return { ...chunk, ...identity, choices: withDeltas(choices) }
        if (Array.isArray(choices) && choices.length > 0) return undefined
        const { id: _id, object: _object, created: _created, model: _model, choices: _choices, ...members } = chunk
        held = { ...held, ...members }
        return 'drop'
      }
      identity ??= { id, object, created, model }
      const early = held
      held = undefined
      if (!early && !lacksDelta(choices)) return undefined
      return { ...chunk, ...early, choices: withDeltas(choices) }
    },
  }
}

const lacksDelta = (choices: unknown): boolean =>
  Array.isArray(choices) && choices.some((choice) => isRecord(choice) && !isRecord(choice.delta))

const withDeltas = (choices: unknown): unknown =>
  Array.isArray(choices)
    ? choices.map((choice) => (isRecord(choice) && !isRecord(choice.delta) ? { ...choice, delta: {} } : choice))
    : []
