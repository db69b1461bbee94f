import { expect, test } from 'vitest'
import { RelayStream } from '../openai/relay-stream.ts'
import { createChunkMender } from './mend-chunks.ts'

const frame = (value: object): string => `data: ${JSON.stringify(value)}\n\n`
const head = { id: 'chatcmpl-9', object: 'chat.completion.chunk', created: 1, model: 'gpt-4o' }
const nobody = { id: '', object: '', created: 0, model: '' }
const text = (content: string) => frame({ ...head, choices: [{ index: 0, delta: { content }, finish_reason: null }] })
const role = { ...head, choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] }
const stop = frame({ ...head, choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })
const verdict = { hate: { filtered: false } }

function relayed(body: string): { frames: unknown[]; failure: string | undefined } {
  let sent = ''
  const output = {
    bytes(bytes: Buffer) {
      sent += bytes
      return true
    },
    event: () => true,
    onceDrained() {},
    follow() {},
  }
  const stream = new RelayStream(output, false, undefined, createChunkMender())
  const failure = stream.push(Buffer.from(body)) ?? stream.finish().failure
  const frames = sent.split('\n\n').slice(0, -1)
  return { frames: frames.map((one) => JSON.parse(one.slice('data: '.length))), failure: failure?.kind }
}

test('(46) the first chunk, which has no id, gives what it holds to the next one', () => {
  const early = {
    ...nobody,
    choices: [],
    prompt_filter_results: [{ prompt_index: 0, content_filter_results: verdict }],
  }
  const { frames, failure } = relayed(frame(early) + frame(role) + text('Hi.') + stop)
  expect(failure).toBeUndefined()
  expect(frames).toHaveLength(3)
  expect(frames[0]).toEqual({ ...role, prompt_filter_results: early.prompt_filter_results })
})

test('(46) annotations without id, model and delta are given them, also between texts', () => {
  const annotation = { ...nobody, choices: [{ index: 0, finish_reason: null, content_filter_results: verdict }] }
  const { frames } = relayed(frame(role) + text('Hi') + text('!') + frame(annotation) + text('?') + stop)
  expect(frames).toHaveLength(6)
  expect(frames[3]).toEqual({
    ...head,
    choices: [{ index: 0, finish_reason: null, content_filter_results: verdict, delta: {} }],
  })
})

test('a chunk that lacks only the delta is given one', () => {
  const ended = { ...head, choices: [{ index: 0, finish_reason: 'stop', content_filter_offsets: {} }] }
  const { frames } = relayed(frame(role) + text('Hi') + frame(ended))
  expect(frames[2]).toEqual({ ...ended, choices: [{ ...ended.choices[0], delta: {} }] })
})

test('whatever is in order goes through as it came', () => {
  const { frames } = relayed(frame(role) + text('Hi') + stop)
  expect(frames.map((one) => frame(one as object)).join('')).toBe(frame(role) + text('Hi') + stop)
})
