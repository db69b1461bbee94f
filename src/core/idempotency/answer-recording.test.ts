import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AnswerRecording } from './answer-recording.ts'

function recorded(bytesMax: number, pieces: readonly Buffer[]): AnswerRecording {
  const recording = new AnswerRecording(bytesMax)
  recording.start(200, 'text/event-stream')
  for (const piece of pieces) recording.bytes(piece)
  return recording
}

test('pieces of any size add up to what was written', () => {
  const piece = fc.integer({ min: 0, max: 40_000 }).map((length) => Buffer.alloc(length, length % 251))
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
      const recording = recorded(1_000_000, pieces)
      recording.end()
      expect(recording.answer).toEqual({
        status: 200,
        contentType: 'text/event-stream',
        body: Buffer.concat(pieces),
      })
    }),
    { numRuns: 30 },
  )
})

test('a piece is copied: what becomes of its buffer does not matter', () => {
  const piece = Buffer.from('first')
  const recording = recorded(100, [piece])
  piece.fill('x')
  recording.end()
  expect(recording.answer?.body.toString()).toBe('first')
})

test('as large as allowed is kept, one byte more is not', () => {
  const pieces = [Buffer.alloc(6), Buffer.alloc(4)]
  for (const [bytesMax, isKept] of [
    [10, true],
    [9, false],
  ] as const) {
    const recording = recorded(bytesMax, pieces)
    recording.end()
    expect(recording.answer !== undefined).toBe(isKept)
  }
})

test('what was not written to its end is no answer', () => {
  expect(recorded(100, [Buffer.from('half')]).answer).toBeUndefined()
})
