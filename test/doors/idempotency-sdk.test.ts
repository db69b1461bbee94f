import OpenAI from 'openai'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { chatDefaults, openTestGateway, type TestGateway } from '../support/gateway.ts'
import { respondWithCompletion, respondWithJson } from '../support/scripted-upstream.ts'

let keeping: TestGateway
let forgetting: TestGateway
beforeAll(async () => {
  keeping = await openTestGateway({ file: { idempotency: { storeAnswers: true } } })
  forgetting = await openTestGateway()
})
afterAll(() => Promise.all([keeping.close(), forgetting.close()]))
beforeEach(() => {
  for (const gateway of [keeping, forgetting]) gateway.upstream.answer(respondWithCompletion)
})

/** The SDK gives each request a key of its own, and all repetitions of it the same one, once it knows the header. */
class IdempotentOpenAI extends OpenAI {
  protected override idempotencyHeader = 'Idempotency-Key'
}

interface Sent {
  key: string | null
  status: number | undefined
}

type Loses = (send: () => Promise<Response>, init: RequestInit, attempt: number) => Promise<Response>

/** A client over connections that may break, and what it has sent. */
function clientOf(gateway: TestGateway, loses: Loses = (send) => send(), Client: typeof OpenAI = IdempotentOpenAI) {
  const sent: Sent[] = []
  const client = new Client({
    apiKey: gateway.keySecret,
    baseURL: `${gateway.url}/v1`,
    maxRetries: 3,
    fetch: async (url, init = {}) => {
      const entry: Sent = { key: new Headers(init.headers).get('idempotency-key'), status: undefined }
      sent.push(entry)
      const response = await loses(() => fetch(url, init), init, sent.length)
      entry.status = response.status
      return response
    },
  })
  return { client, sent }
}

const connectionLost = (): TypeError => new TypeError('fetch failed')

/** The whole answer arrives at the client's machine, and is lost there. */
const losesFirstAnswer: Loses = async (send, _init, attempt) => {
  const response = await send()
  if (attempt > 1) return response
  await response.arrayBuffer()
  throw connectionLost()
}

/** The connection breaks as soon as the provider has the request. */
function losesFirstRequest(gateway: TestGateway): Loses {
  return async (send, init, attempt) => {
    if (attempt > 1) return send()
    const breaking = new AbortController()
    const arrived = gateway.upstream.seen(gateway.upstream.requests.length + 1)
    init.signal = breaking.signal
    const response = send()
    await arrived
    breaking.abort()
    await response.catch(() => {})
    throw connectionLost()
  }
}

async function dispatchedBy(
  gateway: TestGateway,
  run: () => Promise<void>,
): Promise<{ upstream: number; records: number }> {
  const before = [gateway.upstream.requests.length, await gateway.allSettled()] as const
  await run()
  return { upstream: gateway.upstream.requests.length - before[0], records: (await gateway.allSettled()) - before[1] }
}

const once = { upstream: 1, records: 1 }
const request = { ...chatDefaults, messages: [...chatDefaults.messages] }

test('by itself the SDK sends no key', async () => {
  const { client, sent } = clientOf(keeping, undefined, OpenAI)
  await client.chat.completions.create(request)
  expect(sent).toEqual([{ key: null, status: 200 }])
})

describe('an answer that was lost on its way is not paid for twice', () => {
  test('it arrives with the repetition, where answers are kept', async () => {
    const { client, sent } = clientOf(keeping, losesFirstAnswer)
    const dispatched = await dispatchedBy(keeping, async () => {
      const { data, response } = await client.chat.completions.create(request).withResponse()
      expect(data.choices[0]?.message.content).toBe('Hello there.')
      expect(response.headers.get('idempotent-replayed')).toBe('true')
    })
    expect(dispatched).toEqual(once)
    expect(sent).toEqual([
      { key: expect.stringMatching(/\S/), status: undefined },
      { key: sent[0]?.key, status: 200 },
    ])
  })

  test('so does a stream', async () => {
    const { client } = clientOf(keeping, losesFirstAnswer)
    const dispatched = await dispatchedBy(keeping, async () => {
      let text = ''
      for await (const chunk of await client.chat.completions.create({ ...request, stream: true }))
        text += chunk.choices[0]?.delta.content ?? ''
      expect(text).toBe('Hello there.')
    })
    expect(dispatched).toEqual(once)
  })

  test('the repetition is refused, once, where answers are not kept', async () => {
    const { client, sent } = clientOf(forgetting, losesFirstAnswer)
    const dispatched = await dispatchedBy(forgetting, async () => {
      const error = await client.chat.completions.create(request).catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(OpenAI.ConflictError)
      expect((error as InstanceType<typeof OpenAI.ConflictError>).code).toBe('idempotency_key_reused')
    })
    expect(dispatched).toEqual(once)
    expect(sent.map(({ status }) => status)).toEqual([undefined, 409])
  })
})

test('a connection that breaks in the middle of a call: the call is paid for once, and not made again', async () => {
  keeping.upstream.answer(() => {})
  const { client, sent } = clientOf(keeping, losesFirstRequest(keeping))
  const dispatched = await dispatchedBy(keeping, async () => {
    const error = await client.chat.completions.create(request).catch((thrown: unknown) => thrown)
    expect((error as InstanceType<typeof OpenAI.ConflictError>).code).toBe('idempotency_key_reused')
  })
  expect(dispatched).toEqual(once)
  expect(new Set(sent.map(({ key }) => key)).size).toBe(1)
})

test('a call that failed and cost nothing is made again for real', async () => {
  let calls = 0
  keeping.upstream.answer((response, seen) => {
    // The gateway tries twice by itself.
    if (++calls <= 2) respondWithJson(response, 500, { error: { message: 'no' } })
    else respondWithCompletion(response, seen)
  })
  const { client, sent } = clientOf(keeping)
  const dispatched = await dispatchedBy(keeping, async () => {
    const { response } = await client.chat.completions.create(request).withResponse()
    expect(response.headers.get('idempotent-replayed')).toBeNull()
  })
  expect(dispatched).toEqual({ upstream: 3, records: 2 })
  expect(sent.map(({ status }) => status)).toEqual([502, 200])
  expect(sent[1]?.key).toBe(sent[0]?.key)
})

test('who comes while the first request is being answered waits, and gets the same answer', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  keeping.upstream.answer(async (response, seen) => {
    await promise
    respondWithCompletion(response, seen)
  })
  const first = clientOf(keeping)
  const second = clientOf(keeping, async (send, _init, attempt) => {
    const response = await send()
    if (attempt === 1) resolve()
    return response
  })
  const headers = { 'Idempotency-Key': 'chosen-by-the-application' }
  const arrived = keeping.upstream.seen(keeping.upstream.requests.length + 1)
  const dispatched = await dispatchedBy(keeping, async () => {
    const leading = first.client.chat.completions.create(request, { headers })
    await arrived
    const following = second.client.chat.completions.create(request, { headers })
    expect(await following).toEqual(await leading)
  })
  expect(dispatched).toEqual(once)
  const statuses = second.sent.map(({ status }) => status)
  expect([statuses[0], statuses.at(-1)]).toEqual([409, 200])
})
