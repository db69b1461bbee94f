import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readPartially } from '../support/event-stream.ts'
import { eventually } from '../support/eventually.ts'
import { chatDefaults, openTestGateway, requestIdOf, type TestGateway } from '../support/gateway.ts'
import { inProgress, letPass, mismatch, readKeyRow, reused, withKey } from '../support/idempotency.ts'
import { openRawConnection, postRequest } from '../support/raw-connection.ts'
import { expectNothingDispatched, expectRawRefusal, expectRefusal } from '../support/refusals.ts'
import {
  respondWithCompletion,
  respondWithJson,
  startStream,
  textChunk,
  writeFrame,
} from '../support/scripted-upstream.ts'

const otherSecret = 'another-key-0123456789abcdef'
const strictSecret = 'key-for-priced-models-0123456789'

let gateway: TestGateway
beforeAll(async () => {
  const keys = [
    { name: 'other', secret: otherSecret },
    { name: 'strict', secret: strictSecret, unpricedModels: 'block' },
  ]
  gateway = await openTestGateway({ file: { keys } })
})
afterAll(() => gateway.close())
beforeEach(() => {
  gateway.upstream.answer(respondWithCompletion)
  gateway.spare.answer(respondWithCompletion)
})

/** Every test has a key of its own, and hence no view of what the others did. */
let tests = 0
let key = ''
beforeEach(() => {
  key = `${String(++tests).padStart(4, '0')}-of-the-suite`
})

const rowOf = () => readKeyRow(gateway.pool, key)
const seen = (): number => gateway.upstream.requests.length + gateway.spare.requests.length

/** Sends the default request with the key, which is expected to be dispatched. */
async function firstUse(body: object = {}): Promise<Response> {
  const response = await gateway.chat(body, withKey(key))
  await response.clone().arrayBuffer()
  return response
}

describe('a key that has been used', () => {
  test('the first request is answered as any other; the next ones are refused and never dispatched', async () => {
    const first = await firstUse()
    expect(first.status).toBe(200)
    expect(first.headers.get('idempotent-replayed')).toBeNull()
    expect(await first.json()).toMatchObject({ choices: [{ message: { content: 'Hello there.' } }] })
    const firstRecord = await gateway.settledRecord(requestIdOf(first))
    await expectNothingDispatched(gateway, async () => {
      for (let repetition = 0; repetition < 3; repetition++) {
        const error = await expectRefusal(await gateway.chat({}, withKey(key)), reused)
        expect(error.message).toContain(requestIdOf(first))
        expect(error.request_id).not.toBe(requestIdOf(first))
      }
    })
    expect(await gateway.settledRecord(requestIdOf(first))).toEqual(firstRecord)
  })

  test('nothing of an answer is stored, unless it is asked for', async () => {
    await firstUse()
    expect(
      await eventually('the key to be used', async () => (await rowOf())?.state === 'ended' && rowOf()),
    ).toMatchObject({ state: 'ended', status: null, content_type: null, body: null })
  })

  test.for([
    ['white space', (json: string) => json.replaceAll(/([{}[\]:,])/g, ' $1\n')],
    [
      'the order of members',
      () => JSON.stringify({ messages: [{ content: 'Say hello.', role: 'user' }], model: 'gpt-4o-mini' }),
    ],
    ['escapes', (json: string) => json.replaceAll('"Say hello."', String.raw`"\u0053ay\u0020hello."`)],
  ] as const)('it is the same request, whatever its %s', async ([, spelled]) => {
    await firstUse()
    await expectRefusal(await gateway.chat(spelled(JSON.stringify(chatDefaults)), withKey(key)), reused)
  })

  test.for([
    ['another text', { messages: [{ role: 'user', content: 'Say hello!' }] }],
    ['another model', { model: 'round-numbers' }],
    ['a member more', { temperature: 1 }],
    ['a member that is null', { temperature: null }],
    ['a stream', { stream: true }],
  ] as const)('it is another request with %s: 422', async ([, body]) => {
    const first = await firstUse()
    await expectNothingDispatched(gateway, async () => {
      const error = await expectRefusal(await gateway.chat(body, withKey(key)), mismatch)
      expect(error.message).toContain(requestIdOf(first))
    })
  })

  test('numbers count as they are written', async () => {
    const body = (n: string): string => JSON.stringify(chatDefaults).replace('{', `{"temperature":${n},`)
    await (await gateway.chat(body('1'), withKey(key))).arrayBuffer()
    await expectRefusal(await gateway.chat(body('1.0'), withKey(key)), mismatch)
    await expectRefusal(await gateway.chat(body(' 1'), withKey(key)), reused)
  })

  test('it is another request at another path', async () => {
    // Both paths take it, so that nothing but the path differs.
    const body = { ...chatDefaults, model: 'openai/chats-and-embeds', input: 'Say hello.' }
    const used = await gateway.request('POST', '/v1/chat/completions', withKey(key, { body }))
    expect(used.status).toBe(200)
    await used.arrayBuffer()
    await expectRefusal(await gateway.request('POST', '/v1/embeddings', withKey(key, { body })), mismatch)
    expect((await gateway.request('POST', '/v1/embeddings', withKey(`${key}-2`, { body }))).status).toBe(200)
  })

  test('it says nothing about the same key of another caller', async () => {
    await firstUse()
    const response = await gateway.chat({}, withKey(key, { key: otherSecret }))
    expect(response.status).toBe(200)
    await response.arrayBuffer()
    await expectRefusal(await gateway.chat({}, withKey(key, { key: otherSecret })), reused)
  })

  test('upper and lower case are two keys', async () => {
    await firstUse()
    expect((await gateway.chat({}, withKey(key.toUpperCase()))).status).toBe(200)
  })

  test('it is used for 24 hours of the database and not longer', async () => {
    const first = await firstUse()
    await eventually('the key to be used', async () => (await rowOf())?.state === 'ended')
    expect((await rowOf())?.hours_left).toBeCloseTo(24, 1)
    await letPass(gateway.pool, key, '23 hours 59 minutes')
    await expectRefusal(await gateway.chat({}, withKey(key)), reused)
    await letPass(gateway.pool, key, '1 minute')
    const second = await gateway.chat({ user: 'someone else' }, withKey(key))
    expect(second.status).toBe(200)
    await second.arrayBuffer()
    expect(requestIdOf(second)).not.toBe(requestIdOf(first))
    expect((await rowOf())?.request_id).toBe(requestIdOf(second))
    expect((await rowOf())?.hours_left).toBeCloseTo(24, 1)
    await expectRefusal(await gateway.chat({ user: 'someone else' }, withKey(key)), reused)
  })

  test('embeddings and streams use it, too', async () => {
    expect((await gateway.embed({}, withKey(key))).status).toBe(200)
    await expectRefusal(await gateway.embed({}, withKey(key)), reused)
    const stream = await gateway.chat({ stream: true }, withKey(`${key}-stream`))
    expect(await stream.text()).toMatch(/data: \[DONE\]\n\n$/)
    await expectRefusal(await gateway.chat({ stream: true }, withKey(`${key}-stream`)), reused)
  })

  test('lists of models do not look at it', async () => {
    for (let repetition = 0; repetition < 2; repetition++)
      expect((await gateway.request('GET', '/v1/models', withKey(key))).status).toBe(200)
    expect(await rowOf()).toBeUndefined()
  })
})

describe('a key that is in use', () => {
  test('of fifty requests at once one is dispatched and 49 are told to wait', async () => {
    const goOn = Promise.withResolvers<void>()
    gateway.upstream.answer(async (response, request) => {
      await goOn.promise
      respondWithCompletion(response, request)
    })
    const recordsBefore = await gateway.allSettled()
    const seenBefore = seen()
    const waiting: Response[] = []
    const all = Array.from({ length: 50 }, async () => {
      const response = await gateway.chat({}, withKey(key))
      if (response.status !== 200) waiting.push(response)
      if (waiting.length === 49) goOn.resolve()
      return response
    })
    const answers = await Promise.all(all)
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    for (const response of waiting) await expectRefusal(response, inProgress)
    expect(seen() - seenBefore).toBe(1)
    expect((await gateway.allSettled()) - recordsBefore).toBe(1)
  })

  test('another request with it is not told to wait but that it is wrong', async () => {
    const goOn = Promise.withResolvers<void>()
    gateway.upstream.answer(async (response, request) => {
      await goOn.promise
      respondWithCompletion(response, request)
    })
    const arrived = gateway.upstream.seen(gateway.upstream.requests.length + 1)
    const first = gateway.chat({}, withKey(key))
    await arrived
    await expectRefusal(await gateway.chat({ temperature: 0 }, withKey(key)), mismatch)
    goOn.resolve()
    expect((await first).status).toBe(200)
  })
})

describe('a request that is refused before it is dispatched leaves its key free', () => {
  test.for([
    ['a stranger', 401, () => gateway.chat({}, withKey(key, { key: 'nobody-knows-this-key-0123' }))],
    ['a body that is no JSON', 400, () => gateway.chat('{', withKey(key))],
    ['a body that lacks a member', 400, () => gateway.chat('{"model":"gpt-4o-mini"}', withKey(key))],
    ['a model that is not there', 404, () => gateway.chat({ model: 'peer/serves-no-such-thing' }, withKey(key))],
    [
      'another header that is wrong',
      400,
      () => gateway.chat({}, withKey(key, { headers: { 'x-request-timeout-ms': '-1' } })),
    ],
  ] as const)('%s', async ([, status, send]) => {
    expect((await send()).status).toBe(status)
    expect(await rowOf()).toBeUndefined()
    expect((await firstUse()).status).toBe(200)
  })

  test('admission, which comes after the key has been claimed', async () => {
    const unpriced = { model: 'openai/nobody-knows-its-price' }
    for (let repetition = 0; repetition < 2; repetition++) {
      const refused = await gateway.chat(unpriced, withKey(key, { key: strictSecret }))
      expect(refused.status).toBe(403)
      expect(await rowOf()).toBeUndefined()
    }
    expect((await gateway.chat({}, withKey(key, { key: strictSecret }))).status).toBe(200)
  })
})

describe('a request that failed', () => {
  test.for([
    ['429', (send: (status: number) => void) => send(429)],
    ['500', (send: (status: number) => void) => send(500)],
    ['400', (send: (status: number) => void) => send(400)],
  ] as const)('a provider that answers %s bills nothing: the same request is made for real', async ([, refuse]) => {
    gateway.upstream.answer((response) =>
      refuse((status) => respondWithJson(response, status, { error: { message: 'no' } })),
    )
    const failed = await firstUse()
    expect(failed.status).toBeGreaterThanOrEqual(400)
    expect(await gateway.settledRecord(requestIdOf(failed))).toMatchObject({ state: 'released', ledger_nano: '0' })
    gateway.upstream.answer(respondWithCompletion)
    const second = await firstUse()
    expect(second.status).toBe(200)
    await expectRefusal(await gateway.chat({}, withKey(key)), reused)
  })

  test('a provider that cannot be reached: the same', async () => {
    await gateway.upstream.stop()
    try {
      expect((await firstUse()).status).toBe(502)
      expect(await rowOf()).toBeUndefined()
    } finally {
      await gateway.upstream.restart()
    }
    expect((await firstUse()).status).toBe(200)
  })

  test('one that was not answered in time may have been billed: the key is used', async () => {
    gateway.upstream.answer(() => {})
    const late = await gateway.chat({}, withKey(key, { headers: { 'x-request-timeout-ms': '200' } }))
    expect(late.status).toBe(504)
    await expectNothingDispatched(gateway, async () => {
      await expectRefusal(await gateway.chat({}, withKey(key)), reused)
    })
  })

  test('one that broke off in its output was billed: the key is used', async () => {
    gateway.upstream.answer((response) => {
      startStream(response)
      writeFrame(response, textChunk('some output'))
      response.end()
    })
    const broken = await firstUse({ stream: true })
    expect(await broken.text()).not.toContain('[DONE]')
    await expectRefusal(await gateway.chat({ stream: true }, withKey(key)), reused)
  })

  test('one that was answered by a second target has used its key once', async () => {
    gateway.upstream.answer((response) => respondWithJson(response, 500, { error: { message: 'no' } }))
    const response = await firstUse({ model: 'smart' })
    expect(response.headers.get('x-llmgw-provider')).toBe('spare')
    await expectNothingDispatched(gateway, async () => {
      await expectRefusal(await gateway.chat({ model: 'smart' }, withKey(key)), reused)
    })
  })

  test('one whose client left in the middle was billed: the key is used', async () => {
    gateway.upstream.answer((response) => {
      startStream(response)
      writeFrame(response, textChunk('some output'))
    })
    const leaving = new AbortController()
    const response = await gateway.chat({ stream: true }, withKey(key, { signal: leaving.signal }))
    const reader = readPartially(response)
    await reader.until('some output')
    leaving.abort()
    expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({ finish: 'client_disconnected' })
    gateway.upstream.answer(respondWithCompletion)
    await expectNothingDispatched(gateway, async () => {
      await eventually('the key to be used', async () => (await rowOf())?.state === 'ended')
      await expectRefusal(await gateway.chat({ stream: true }, withKey(key)), reused)
    })
  })
})

describe('the header', () => {
  const badHeader = { status: 400, type: 'invalid_request_error', code: 'invalid_header' } as const

  test.for([
    ['nothing', ''],
    ['256 characters', 'k'.repeat(256)],
    ['a space', 'two words'],
    ['a letter beyond ASCII', 'schlüssel'],
    ['a tab', 'a\tb'],
  ] as const)('%s is no key: 400', async ([, value]) => {
    await expectNothingDispatched(gateway, async () => {
      using client = await openRawConnection(gateway.url)
      const request = postRequest('/v1/chat/completions', gateway.keySecret, chatDefaults, [
        `idempotency-key: ${value}`,
        'connection: close',
      ])
      client.send(Buffer.from(request, 'latin1'))
      expectRawRefusal(await client.closed, badHeader)
    })
  })

  test('two of them are none: 400', async () => {
    using client = await openRawConnection(gateway.url)
    const headers = ['idempotency-key: one', 'idempotency-key: two', 'connection: close']
    client.send(postRequest('/v1/chat/completions', gateway.keySecret, chatDefaults, headers))
    expectRawRefusal(await client.closed, badHeader)
  })

  test('any 255 visible characters are one', async () => {
    const longest = `"!~${key}`.padEnd(255, 'k')
    expect((await gateway.chat({}, withKey(longest))).status).toBe(200)
    await expectRefusal(await gateway.chat({}, withKey(longest)), reused)
  })
})
