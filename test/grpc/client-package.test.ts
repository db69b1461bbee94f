import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cp, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Server, ServerCredentials, type ServiceDefinition, status } from '@grpc/grpc-js'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createClient, LlmgwError, struct, system, textOf, user } from '../../clients/typescript/src/index.ts'
import { eventually } from '../support/eventually.ts'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'
import { packageDefinition } from '../support/grpc.ts'
import {
  respondWithCompletion,
  respondWithJson,
  startStream,
  textChunk,
  writeFrame,
} from '../support/scripted-upstream.ts'

const root = join(import.meta.dirname, '../..')

let gateway: TestGateway
let client: ReturnType<typeof createClient>

beforeAll(async () => {
  gateway = await openTestGateway({
    file: {
      keys: [
        {
          name: 'poor',
          secret: 'client-suite-poor-0123456789',
          budgets: [{ amountUsd: '0.000000001', period: 'day' }],
        },
      ],
    },
  })
  client = clientWith(gateway.keySecret)
})
afterAll(async () => {
  client?.close()
  await gateway?.close()
})
beforeEach(async () => {
  await gateway.forgetHealth()
  gateway.upstream.answer(respondWithCompletion)
})

const addressOf = (of: TestGateway): string => `127.0.0.1:${of.app.grpc.port}`
const clientWith = (apiKey: string) => createClient({ address: addressOf(gateway), apiKey, tls: false })
const model = 'round-numbers'

describe('the client', () => {
  test('completes, and says what it came to', async () => {
    const answer = await client.complete({
      model,
      messages: [system('Be short.'), user('Say hello.')],
      providerOptions: struct({ verbosity: 'low', nested: { list: [1, null, true] } }),
    })
    expect(textOf(answer)).toBe('Hello there.')
    expect(answer.summary).toMatchObject({ provider: 'openai', cost: { nanoUsd: '23000' } })
    expect(gateway.upstream.requests.at(-1)?.json).toMatchObject({
      messages: [
        { role: 'system', content: 'Be short.' },
        { role: 'user', content: 'Say hello.' },
      ],
      verbosity: 'low',
      nested: { list: [1, null, true] },
    })
  })

  test('streams by an async iterator', async () => {
    let text = ''
    let cost: string | undefined
    for await (const event of client.stream({ model, messages: [user('Say hello.')] })) {
      text += event.text?.text ?? ''
      cost = event.end?.summary?.cost?.nanoUsd ?? cost
    }
    expect([text, cost]).toEqual(['Hello there.', '23000'])
  })

  test('cancels when the loop is left, and when its signal says so', async () => {
    gateway.upstream.answer((response) => {
      startStream(response)
      writeFrame(response, textChunk('twenty bytes of text'))
    })
    const lastSeen = () => gateway.upstream.requests.at(-1)
    for await (const event of client.stream({ model, messages: [user('x')] })) if (event.text) break
    await eventually('the upstream to be closed', () => lastSeen()?.isAborted)
    const controller = new AbortController()
    const reason = new Error('enough')
    const reading = (async () => {
      for await (const event of client.stream({ model, messages: [user('x')] }, { signal: controller.signal })) {
        if (event.text) controller.abort(reason)
      }
    })()
    await expect(reading).rejects.toBe(reason)
    await eventually('the upstream to be closed', () => lastSeen()?.isAborted)
    gateway.upstream.answer(() => {})
    const waiting = client.complete({ model, messages: [user('x')] }, { signal: AbortSignal.timeout(200) })
    await expect(waiting).rejects.toMatchObject({ name: 'TimeoutError' })
    await eventually('the upstream to be closed', () => lastSeen()?.isAborted)
  })

  test('keeps its deadline', async () => {
    gateway.upstream.answer(() => {})
    const waiting = client.complete({ model, messages: [user('x')] }, { deadlineMs: 300 })
    await expect(waiting).rejects.toMatchObject({ name: 'LlmgwError', status: 'DEADLINE_EXCEEDED' })
  })

  test('embeds, and lists models', async () => {
    const { embeddings } = await client.embed({ model: 'text-embedding-3-small', texts: ['a', 'b'] })
    expect(embeddings.map(({ values }) => values)).toEqual([
      [0.25, -0.5, 0.125],
      [1.25, -0.5, 0.125],
    ])
    const names: string[] = []
    for await (const { name } of client.models()) names.push(name)
    expect(names).toContain('smart')
    expect(names.length).toBeGreaterThan(50)
    expect(await client.model('smart')).toMatchObject({ name: 'smart', mode: 'chat' })
  })

  test('says what went wrong in the gateway’s words', async () => {
    using poor = clientWith('client-suite-poor-0123456789')
    const refused = await poor.complete({ model, messages: [user('x')] }).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(LlmgwError)
    expect(refused).toMatchObject({
      status: 'RESOURCE_EXHAUSTED',
      reason: 'budget_exceeded',
      requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      retryAfterMs: undefined,
    })
    const wrong = client.complete({ model, messages: [{ content: [{ text: 'x' }] }] })
    await expect(wrong).rejects.toMatchObject({ reason: 'invalid_body', field: 'chat.messages[0].role' })
  })
})

async function idempotencyKeys(): Promise<number> {
  const { rows } = await gateway.pool.query<{ count: number }>(
    'select count(*)::integer as count from idempotency_keys',
  )
  return rows[0]?.count ?? 0
}

describe('a call that is made again', () => {
  test('is made with the key of the first time, and paid for once', async () => {
    let calls = 0
    gateway.upstream.answer((response, request) => {
      calls++
      if (calls <= 2) respondWithJson(response, 503, { error: { message: 'not now' } })
      else respondWithCompletion(response, request)
    })
    const keysBefore = await idempotencyKeys()
    // The gateway tries twice by itself; the third one is the client's.
    const answer = await client.complete({ model, messages: [user('again')] })
    expect([textOf(answer), calls]).toEqual(['Hello there.', 3])
    expect((await idempotencyKeys()) - keysBefore).toBe(1)
    expect(await gateway.settledRecord(answer.summary?.requestId ?? '')).toMatchObject({ charged_nano: '23000' })
  })

  test('waits as long as the server asks, and stops when it says that it is no use', async () => {
    const seen: { key: string | undefined; atMs: number }[] = []
    const chat = packageDefinition['thinkpixel.llmgw.v1.ChatService'] as ServiceDefinition
    const server = new Server()
    const { Metadata } = await import('@grpc/grpc-js')
    server.addService(chat, {
      Complete(
        call: { metadata: InstanceType<typeof Metadata>; request: { chat: { model: string } } },
        done: (failure: object | null, answer?: object) => void,
      ) {
        seen.push({ key: call.metadata.get('idempotency-key')[0]?.toString(), atMs: performance.now() })
        const metadata = new Metadata()
        metadata.set('grpc-retry-pushback-ms', call.request.chat.model === 'final' ? '-1' : '150')
        if (call.request.chat.model === 'final' || seen.length < 3) {
          done({ code: status.UNAVAILABLE, details: 'not now', metadata })
        } else done(null, { id: 'third' })
      },
      Stream() {},
    })
    const port = await promisify(server.bindAsync.bind(server))('127.0.0.1:0', ServerCredentials.createInsecure())
    try {
      using retrying = createClient({ address: `127.0.0.1:${port}`, apiKey: 'k', tls: false })
      expect((await retrying.complete({ model: 'busy' })).id).toBe('third')
      expect(seen).toHaveLength(3)
      expect(new Set(seen.map(({ key }) => key)).size).toBe(1)
      expect(seen[0]?.key).toMatch(/^[0-9a-f-]{36}$/)
      seen.length = 0
      await expect(retrying.complete({ model: 'final' })).rejects.toMatchObject({ status: 'UNAVAILABLE' })
      expect(seen).toHaveLength(1)
      seen.length = 0
      using once = createClient({ address: `127.0.0.1:${port}`, apiKey: 'k', tls: false, retries: false })
      await expect(once.complete({ model: 'busy' })).rejects.toMatchObject({ status: 'UNAVAILABLE' })
      expect(seen.map(({ key }) => key)).toEqual([undefined])
    } finally {
      server.forceShutdown()
    }
  })
})

test('what is published is JavaScript that works on its own, with its types', { timeout: 120_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'llmgw-client-'))
  try {
    const installed = join(folder, 'node_modules/@thinkpixel/llmgw-client')
    const tsc = join(root, 'node_modules/.bin/tsc')
    await promisify(execFile)(tsc, ['-p', join(root, 'clients/typescript'), '--outDir', join(installed, 'dist')])
    for (const name of ['package.json', 'proto']) {
      await cp(join(root, 'clients/typescript', name), join(installed, name), { recursive: true })
    }
    for (const name of ['@grpc', 'protobufjs', '@protobufjs', '@types', 'undici-types']) {
      await symlink(join(root, 'node_modules', name), join(folder, 'node_modules', name))
    }
    const program = `import { createClient, textOf, user } from '@thinkpixel/llmgw-client'
const client = createClient({ address: '${addressOf(gateway)}', apiKey: '${gateway.keySecret}', tls: false })
const answer = await client.complete({ model: 'demo/demo-chat', messages: [user('Hello!')] })
const text: string = textOf(answer)
console.log(text)
client.close()
`
    await writeFile(join(folder, 'package.json'), '{"type":"module"}')
    await writeFile(join(folder, 'program.ts'), program)
    const options = ['--module', 'nodenext', '--target', 'esnext', '--strict', '--skipLibCheck', '--types', 'node']
    await promisify(execFile)(tsc, [...options, 'program.ts'], { cwd: folder })
    const { stdout } = await promisify(execFile)(process.execPath, ['program.js'], { cwd: folder })
    expect(stdout).toContain('You asked: "Hello!"')
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('the client and the server are of one contract', () => {
  for (const name of ['chat', 'chat_service', 'common', 'embedding_service', 'model_service']) {
    const file = `proto/thinkpixel/llmgw/v1/${name}.proto`
    expect(readFileSync(join(root, 'clients/typescript', file), 'utf8')).toBe(readFileSync(join(root, file), 'utf8'))
  }
})
