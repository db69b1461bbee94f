import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Decoded } from '../../core/providers/decoded-answer.ts'
import { readOpenAiError } from '../../core/providers/openai/errors.ts'
import { decodeEmbeddings } from '../../core/providers/openai-compatible/embeddings.ts'
import {
  createCompletionStreamDecoder,
  decodeCompletion,
} from '../../core/providers/openai-compatible/from-upstream.ts'
import { createChatEncoder } from './chat-encoder.ts'
import { errorReply } from './error-reply.ts'

/** Recorded answers of providers, kept beside the checkout; there is nothing to test where they are not. */
const root = join(import.meta.dirname, '../../../../shared/fixtures')
const requestId = '018bcfe5-6800-7000-8000-000000000000'

interface RecordedCase {
  id: string
  provider: string
  api: string
  kind: 'unary' | 'stream' | 'error'
  status: number
  dir: string
  files: string[]
}

const read = (dir: string, name: string) => JSON.parse(readFileSync(join(root, dir, name), 'utf8'))
const cases: RecordedCase[] = existsSync(root)
  ? read('.', 'index.json').cases.filter(
      ({ provider, api }: RecordedCase) =>
        ['openai', 'openai-compatible', 'azure'].includes(provider) && /chat|embeddings/.test(api),
    )
  : []
const bodyOf = ({ dir, files }: RecordedCase): Buffer =>
  readFileSync(join(root, dir, files.find((name) => name.startsWith('response.')) as string))

interface Message {
  content?: string | null
  refusal?: string | null
  tool_calls?: { id: string; function: { name: string; arguments: string } }[]
}

/** What a client would have put together from the chunks. */
function assembled(sse: string) {
  const frames = sse.split('\n\n').slice(0, -1)
  expect(frames.pop()).toBe('data: [DONE]')
  const chunks = frames.map((frame) => JSON.parse(frame.slice('data: '.length)))
  expect(new Set(chunks.map(({ id }) => id)).size).toBe(1)
  const message: Message & { content: string } = { content: '', tool_calls: [] }
  let finish: string | undefined
  for (const { choices } of chunks) {
    for (const { delta, finish_reason } of choices) {
      message.content += delta.content ?? ''
      finish ??= finish_reason ?? undefined
      for (const { index, id, function: called } of delta.tool_calls ?? []) {
        const calls = message.tool_calls as NonNullable<Message['tool_calls']>
        calls[index] ??= { id, function: { name: called.name, arguments: '' } }
        calls[index].function.arguments += called.arguments
      }
    }
  }
  return { message, finish, usage: chunks.findLast(({ usage }) => usage)?.usage }
}

function decodedInPieces(bytes: Buffer): Decoded {
  const decoder = createCompletionStreamDecoder()
  const events = []
  for (let at = 0; at < bytes.length; at += 7) {
    const { events: more, failure } = decoder.push(bytes.subarray(at, at + 7))
    events.push(...more)
    if (failure) return { events, failure }
  }
  const last = decoder.end()
  return { events: [...events, ...last.events], failure: last.failure }
}

describe.skipIf(cases.length === 0)('recorded answers', () => {
  const ofKind = (kind: string, api: RegExp) =>
    cases.filter((one) => one.kind === kind && api.test(one.api)).map((one) => [one.id, one] as const)

  test.each([...ofKind('unary', /chat/), ...ofKind('stream', /chat/)])('%s', (_id, recorded) => {
    const stream = recorded.kind === 'stream'
    const expected = read(recorded.dir, 'expected.json')
    const { events, failure } = stream ? decodedInPieces(bodyOf(recorded)) : decodeCompletion(bodyOf(recorded))
    if (expected.gateway.kind === 'stream-error') {
      expect(failure).toBeDefined()
      expect(events.some(({ type }) => type === 'choice-end')).toBe(false)
      return
    }
    if (expected.gateway.kind === 'error') {
      expect(failure).toBeDefined()
      return
    }
    expect(failure).toBeUndefined()

    const encoder = createChatEncoder({ requestId, request: { model: 'asked', stream, includeUsage: true } })
    const written = [...events.map((event) => encoder.encode(event) ?? ''), encoder.end()].join('')
    const answer = stream ? assembled(written) : unaryAnswer(JSON.parse(written))
    expect(answer.message.content ?? '').toBe(expected.content ?? '')
    expect(expected.gateway.finish_reason_one_of).toContain(answer.finish)
    const calls = (answer.message.tool_calls ?? []).map(({ id, function: { name, arguments: args } }) => ({
      id,
      name,
      arguments: JSON.parse(args),
    }))
    expect(calls).toEqual((expected.tool_calls ?? []).map((call: object) => ({ id: expect.any(String), ...call })))
    if (expected.refusal) expect(answer.message.refusal).toBe(expected.refusal)
    if (expected.usage) {
      const { cached_tokens: cached = 0, reasoning_tokens: reasoning = 0, ...sums } = expected.usage
      expect(answer.usage).toMatchObject(sums)
      expect(answer.usage.prompt_tokens_details.cached_tokens).toBe(cached)
      expect(answer.usage.completion_tokens_details?.reasoning_tokens ?? 0).toBe(reasoning)
    }
  })

  test.each(ofKind('unary', /embeddings/))('%s, in both encodings', (_id, recorded) => {
    const expected = read(recorded.dir, 'expected.json')
    const decode = (encoding: 'float' | 'base64') => {
      const { answer, failure } = decodeEmbeddings(bodyOf(recorded), encoding, { model: 'asked' })
      expect(failure).toBeUndefined()
      return JSON.parse(String(answer))
    }
    const recordedFormat = typeof expected.dims === 'number' ? 'float' : 'base64'
    const { data, usage } = decode(recordedFormat)
    expect(data).toHaveLength(expected.n)
    expect(data[0].embedding.slice(0, expected.first5.length)).toEqual(expected.first5)
    expect(usage).toMatchObject(expected.usage)
    const floats: number[] = decode('float').data[0].embedding
    const bytes = Buffer.from(decode('base64').data[0].embedding, 'base64')
    expect(bytes).toHaveLength(4 * floats.length)
    expect(bytes.readFloatLE(40)).toBe(Math.fround(floats[10] as number))
  })

  test.each(ofKind('error', /./))('%s', (_id, recorded) => {
    const { gateway, http_status_upstream: status } = read(recorded.dir, 'expected.json')
    const { headers } = read(recorded.dir, 'case.json').response
    const { error } = readOpenAiError(status, headers, bodyOf(recorded), undefined)
    const reply = errorReply(error, requestId, 0)
    const body = JSON.parse(reply.body).error
    expect([...gateway.status_one_of, ...(status >= 500 ? [502, 504] : [])]).toContain(reply.status)
    if (status < 500 && gateway.message_contains) expect(body.message).toContain(gateway.message_contains)
    if (gateway.code_one_of) expect(gateway.code_one_of).toContain(body.code)
    if (gateway.retry_after_s) expect(Number(reply.headers['retry-after'])).toBeCloseTo(gateway.retry_after_s, 0)
  })
})

function unaryAnswer(answer: { choices: { message: Message; finish_reason: string }[]; usage: unknown }) {
  const [choice] = answer.choices
  return {
    message: choice?.message as Message,
    finish: choice?.finish_reason,
    // biome-ignore lint/suspicious/noExplicitAny: compared member by member above
    usage: answer.usage as any,
  }
}
