import { expect, test } from 'vitest'
import { usageEnd, usageIntent } from '../../../test/support/usage-records.ts'
import {
  checkFrame,
  findFrame,
  frameBytes,
  frameBytesBound,
  frameRequestId,
  journalText,
  writeFrame,
} from './journal-frame.ts'
import type { UsageEnd } from './usage-record.ts'

test('a frame gives back the very text that was written, and its request id', () => {
  const intent = usageIntent({ end_user: 'Zoë 🦊' })
  const text = journalText(intent)
  const bytes = Buffer.alloc(frameBytesBound(text))

  const end = writeFrame(bytes, 0, 'intent', text)

  expect(checkFrame(bytes, 0, end)).toBe('intent')
  expect(frameBytes(bytes, 0)).toBe(end)
  expect(frameRequestId(bytes, 0)).toBe(intent.request_id)
  expect(JSON.parse(bytes.toString('utf8', 10, end))).toEqual(intent)
})

test('what PostgreSQL cannot store in a string is replaced, in keys, too, and look-alikes are left alone', () => {
  const intent = usageIntent({ end_user: 'a\0b\ud800c', model: 'back\\u0000slash', tags: { 'k\0': 'v\udfff' } })

  const record = JSON.parse(journalText(intent))

  expect(record.end_user).toBe('a\ufffdb\ufffdc')
  expect(record.model).toBe('back\\u0000slash')
  expect(record.tags).toEqual({ 'k\ufffd': 'v\ufffd' })
})

test('the request id comes first, wherever the record has it', () => {
  const { request_id, ...rest } = usageIntent()

  expect(journalText({ ...rest, request_id })).toMatch(/^\{"request_id":"[0-9a-f-]{36}","/)
})

test('implausible usage that is too long or too deep is left out, and the record kept', () => {
  const deep: unknown = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`)
  for (const implausible_usage of [deep, { text: 'x'.repeat(5_000_000) }]) {
    const record = JSON.parse(journalText(usageEnd(usageIntent(), { implausible_usage }))) as UsageEnd

    expect(record.implausible_usage).toEqual({ omitted_characters: expect.any(Number) })
    expect(record.provider_cost_nano).toBe('360000')
  }
})

test('a record that is no record is refused', () => {
  expect(() => journalText(usageIntent({ request_id: 'short' }))).toThrow(RangeError)
  expect(() => journalText(usageIntent({ end_user: 'x'.repeat(1 << 20) }))).toThrow(RangeError)
})

test('text that imitates a frame is never found as one', () => {
  const inner = journalText(usageIntent())
  const frame = Buffer.alloc(frameBytesBound(inner))
  const frameText = frame.toString('latin1', 0, writeFrame(frame, 0, 'end', inner))
  const text = journalText(usageIntent({ end_user: frameText }))
  const bytes = Buffer.alloc(frameBytesBound(text))
  const end = writeFrame(bytes, 0, 'intent', text)

  expect(findFrame(bytes, 1, end)).toBeUndefined()
})
