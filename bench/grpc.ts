/**
 * The gRPC door beside a bare grpc-js server that has the same answers in memory and does nothing else.
 *
 *     node bench/grpc.ts
 *
 * - `Stream`: messages a second that arrive, and what each costs the server, with 32 streams of 500 messages at once.
 * - `Complete`: what a call costs the server, with 32 calls at once.
 *
 * BENCH_ROUNDS (7) of BENCH_SECONDS (3) for each of the two in turn, after a round that does not count. Both servers are
 * processes of their own, and so is the fake provider behind the gateway, which has its answers in memory, too. The client
 * speaks HTTP/2 and only counts messages, so that it is not what is measured. The gateway has everything on, and an embedded
 * database, whose processor time is not in the figures.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { type ClientHttp2Session, connect } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import type { CompleteResponse } from '../src/generated/proto/thinkpixel/llmgw/v1/CompleteResponse.ts'
import type { StreamResponse } from '../src/generated/proto/thinkpixel/llmgw/v1/StreamResponse.ts'
import { cpuUs, startGateway } from './gateway-process.ts'

const textsPerStream = 500
const callsAtOnce = 32
const connections = 4
const rounds = Number(process.env.BENCH_ROUNDS ?? 7)
const seconds = Number(process.env.BENCH_SECONDS ?? 3)
const secret = 'grpc-bench-0123456789abcdef'
const text = (at: number): string => ` chunk ${at} ü\n"`
const usage = { prompt_tokens: 10, completion_tokens: 400, total_tokens: 410 }

const definition = loadSync('thinkpixel/llmgw/v1/chat_service.proto', {
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
  includeDirs: [join(import.meta.dirname, '../proto')],
})
const chat = definition['thinkpixel.llmgw.v1.ChatService'] as ServiceDefinition
const { Complete, Stream } = chat as { Complete: ServiceDefinition[string]; Stream: ServiceDefinition[string] }

switch (process.argv[2]) {
  case 'provider':
    serveProvider()
    break
  case 'bare':
    serveBare()
    break
  default:
    await run()
}

function serveProvider(): void {
  const head = { id: 'chatcmpl-bench', object: 'chat.completion.chunk', created: 1_700_000_000, model: 'gpt-4o-mini' }
  const frame = (choices: object[], more: object = {}): string =>
    `data: ${JSON.stringify({ ...head, choices, ...more })}\n\n`
  const delta = (delta: object, finish_reason: string | null = null) => [
    { index: 0, delta, logprobs: null, finish_reason },
  ]
  const streamed = Buffer.from(
    [
      frame(delta({ role: 'assistant', content: '' })),
      ...Array.from({ length: textsPerStream }, (_, at) => frame(delta({ content: text(at) }))),
      frame(delta({}, 'stop')),
      frame([], { usage }),
      'data: [DONE]\n\n',
    ].join(''),
  )
  const message = { role: 'assistant', content: 'Hello there.', refusal: null }
  const whole = Buffer.from(
    JSON.stringify({
      ...head,
      object: 'chat.completion',
      choices: [{ index: 0, message, finish_reason: 'stop' }],
      usage,
    }),
  )
  const server = createServer((request, response) => {
    let isStream = false
    request.on('data', (bytes: Buffer) => {
      isStream ||= bytes.includes('"stream":true')
    })
    request.on('end', () => {
      response.writeHead(200, { 'content-type': isStream ? 'text/event-stream' : 'application/json' })
      response.end(isStream ? streamed : whole)
    })
  })
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
  process.on('disconnect', () => process.exit())
}

/** What the gateway answers, ids aside. */
function serveBare(): void {
  const requestId = '018bcfe5-6800-7000-8000-000000000000'
  const summary = {
    requestId,
    provider: 'openai',
    model: 'gpt-4o-mini',
    attempts: 1,
    cost: { nanoUsd: 240_000 },
    usage: { inputTokens: 10, outputTokens: 400, totalTokens: 410 },
    usageSource: 'USAGE_SOURCE_PROVIDER',
    priceVersion: requestId,
  } as const
  const createTime = { seconds: 1_700_000_000 }
  const messages: StreamResponse[] = [
    { start: { requestId, provider: 'openai', id: 'chatcmpl-bench', model: 'gpt-4o-mini', createTime } },
    { role: { role: 'ROLE_ASSISTANT' } },
    ...Array.from({ length: textsPerStream }, (_, at): StreamResponse => ({ text: { index: 0, text: text(at) } })),
    { choiceEnd: { finishReason: 'FINISH_REASON_STOP' } },
    { usage: { usage: summary.usage } },
    { end: { summary } },
  ]
  const whole: CompleteResponse = {
    id: 'chatcmpl-bench',
    model: 'gpt-4o-mini',
    createTime,
    choices: [
      {
        message: { role: 'ROLE_ASSISTANT', content: [{ text: 'Hello there.' }] },
        finishReason: 'FINISH_REASON_STOP',
      },
    ],
    summary,
  }
  const server = new Server()
  server.addService(chat, {
    async Stream(call: ServerWritableStream<unknown, StreamResponse>) {
      for (const message of messages) if (!call.write(message)) await once(call, 'drain')
      call.end()
    },
    Complete: (_call: ServerUnaryCall<unknown, unknown>, done: sendUnaryData<CompleteResponse>) => done(null, whole),
  })
  server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error
    process.send?.(port)
  })
  process.on('disconnect', () => process.exit())
}

interface Measured {
  name: 'bare' | 'gateway'
  server: ChildProcess
  sessions: ClientHttp2Session[]
}

interface Figures {
  /** Messages that arrived, or calls that ended. */
  perSecond: number
  /** Processor time of the server for each of them. */
  us: number
}

async function run(): Promise<void> {
  await using started = new AsyncDisposableStack()
  const forked = async (role: string): Promise<[ChildProcess, number]> => {
    const child = fork(import.meta.filename, [role])
    started.defer(() => void child.kill())
    const [port] = (await once(child, 'message')) as [number]
    return [child, port]
  }
  const [bare, barePort] = await forked('bare')
  const [, providerPort] = await forked('provider')
  const folder = await mkdtemp(join(tmpdir(), 'llmgw-bench-grpc-'))
  started.defer(() => rm(folder, { recursive: true, force: true }))
  const { gateway, grpcPort } = await startGateway(folder, configOf(`http://127.0.0.1:${providerPort}/v1`))
  started.defer(async () => {
    const closed = once(gateway, 'close')
    gateway.kill('SIGTERM')
    await closed
  })
  const sessionsTo = (port: number): ClientHttp2Session[] =>
    Array.from({ length: connections }, () => {
      const session = connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: 1 << 20 } })
      started.defer(() => session.destroy())
      return session
    })
  const servers: Measured[] = [
    { name: 'bare', server: bare, sessions: sessionsTo(barePort) },
    { name: 'gateway', server: gateway, sessions: sessionsTo(grpcPort) },
  ]
  for (const method of [Stream, Complete]) {
    const figures: Record<Measured['name'], Figures[]> = { bare: [], gateway: [] }
    for (let round = 0; round <= rounds; round++) {
      for (const measured of servers) {
        const figure = await measure(measured, method)
        if (round > 0) figures[measured.name].push(figure)
      }
    }
    report(method === Stream ? 'Stream, messages' : 'Complete, calls', figures)
  }
}

function report(what: string, { bare, gateway }: Record<Measured['name'], Figures[]>): void {
  const ratios = (of: keyof Figures): string =>
    spread(
      gateway.map((one, at) => one[of] / (bare[at] as Figures)[of]),
      3,
    )
  process.stdout.write(`${what}
  bare     ${spread(bare.map(({ perSecond }) => perSecond))} a second, ${spread(
    bare.map(({ us }) => us),
    1,
  )} µs each
  gateway  ${spread(gateway.map(({ perSecond }) => perSecond))} a second, ${spread(
    gateway.map(({ us }) => us),
    1,
  )} µs each
  gateway / bare: ${ratios('perSecond')} of the rate, ${ratios('us')} of the processor time
`)
}

/** The median, and from what to what. */
function spread(values: number[], digits = 0): string {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (index: number): string => (sorted[index] as number).toFixed(digits)
  return `${at(Math.floor(sorted.length / 2))} (${at(0)} to ${at(sorted.length - 1)})`
}

async function measure({ server, sessions }: Measured, method: ServiceDefinition[string]): Promise<Figures> {
  const isStream = method === Stream
  const request = framed(
    method.requestSerialize({
      chat: { model: 'openai/gpt-4o-mini', messages: [{ role: 'ROLE_USER', content: [{ text: 'Write.' }] }] },
    }),
  )
  const expected = isStream ? textsPerStream : 1
  let count = 0
  const startedMs = performance.now()
  const until = startedMs + seconds * 1_000
  const beforeUs = cpuUs(server)
  const one = async (at: number): Promise<void> => {
    const session = sessions[at % sessions.length] as ClientHttp2Session
    while (performance.now() < until) {
      const messages = await call(session, method.path, request)
      if (messages < expected) throw new Error(`${messages} messages of ${expected} have come.`)
      count += messages
    }
  }
  await Promise.all(Array.from({ length: callsAtOnce }, (_, at) => one(at)))
  const us = cpuUs(server) - beforeUs
  return { perSecond: count / ((performance.now() - startedMs) / 1_000), us: us / count }
}

/** @returns how many messages came */
function call(session: ClientHttp2Session, path: string, request: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc+proto',
      te: 'trailers',
      authorization: `Bearer ${secret}`,
    })
    const counter = createMessageCounter()
    let status = 'none'
    stream.on('trailers', (trailers) => {
      status = String(trailers['grpc-status'])
    })
    stream.on('response', (headers) => {
      if (headers['grpc-status'] !== undefined) status = `${headers['grpc-status']} ${headers['grpc-message']}`
    })
    stream.on('data', counter.take)
    stream.on('error', reject)
    stream.on('close', () => (status === '0' ? resolve(counter.count()) : reject(new Error(`gRPC status ${status}`))))
    stream.end(request)
  })
}

/** Counts length-prefixed messages, wherever pieces are cut. */
function createMessageCounter() {
  let count = 0
  let skip = 0
  let head = 0
  let length = 0
  return {
    count: () => count,
    take(piece: Buffer): void {
      let at = 0
      while (at < piece.length) {
        if (skip > 0) {
          const step = Math.min(skip, piece.length - at)
          skip -= step
          at += step
        } else {
          if (head > 0) length = length * 256 + (piece[at] as number)
          at++
          if (++head < 5) continue
          count++
          skip = length
          head = 0
          length = 0
        }
      }
    },
  }
}

function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

function configOf(baseUrl: string): object {
  const credentials = { apiKey: 'sk-upstream' }
  const rateLimits = { requestsPerMinute: 100_000_000, tokensPerMinute: 1_000_000_000_000, maxConcurrent: 100_000 }
  return {
    providers: [{ name: 'openai', type: 'openai', baseUrl, credentials, passthroughModels: true }],
    keys: [{ name: 'bench', secret, rateLimits }],
    catalog: { sync: 'off' },
  }
}
