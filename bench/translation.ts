/**
 * What a streamed chunk costs where it is translated from Anthropic's protocol, beside the same chunk relayed from
 * OpenAI's: streams of 200 chunks as fast as they go, over 32 connections, through one gateway with everything on.
 *
 *     node bench/translation.ts
 *
 * BENCH_ROUNDS (5) of BENCH_SECONDS (3) for each of the two in turn, after a round that does not count. The gateway is
 * a process of its own with the embedded database, whose processor time is not in the figures; so is the fake provider.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Pool } from 'undici'
import { cpuUs, startGateway } from './gateway-process.ts'

const chunksPerStream = 200
const connections = 32
const rounds = Number(process.env.BENCH_ROUNDS ?? 5)
const seconds = Number(process.env.BENCH_SECONDS ?? 3)
const secret = 'translation-bench-0123456789abcdef'
const text = (at: number): string => ` chunk ${at} ü\n"`

if (process.argv[2] === 'upstream') serveUpstream()
else await run()

function serveUpstream(): void {
  const server = createServer((request, response) => {
    request.resume()
    request.on('end', () => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      if (request.url?.startsWith('/anthropic')) writeAnthropic(response)
      else writeOpenAi(response)
    })
  })
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
  process.on('disconnect', () => process.exit())
}

function writeOpenAi(response: ServerResponse): void {
  const head = { id: 'chatcmpl-bench', object: 'chat.completion.chunk', created: 1_700_000_000, model: 'gpt-4o-mini' }
  const write = (choices: object[], more: object = {}): boolean =>
    response.write(`data: ${JSON.stringify({ ...head, choices, ...more })}\n\n`)
  const delta = (delta: object, finish_reason: string | null = null) => [
    { index: 0, delta, logprobs: null, finish_reason },
  ]
  write(delta({ role: 'assistant', content: '' }))
  for (let at = 0; at < chunksPerStream; at++) write(delta({ content: text(at) }))
  write(delta({}, 'stop'))
  write([], { usage: { prompt_tokens: 10, completion_tokens: 400, total_tokens: 410 } })
  response.end('data: [DONE]\n\n')
}

function writeAnthropic(response: ServerResponse): void {
  const write = (type: string, members: object): boolean =>
    response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...members })}\n\n`)
  const usage = { input_tokens: 10, output_tokens: 1 }
  write('message_start', {
    message: { id: 'msg_bench', type: 'message', role: 'assistant', model: 'claude', content: [], usage },
  })
  write('content_block_start', { index: 0, content_block: { type: 'text', text: '' } })
  for (let at = 0; at < chunksPerStream; at++) {
    write('content_block_delta', { index: 0, delta: { type: 'text_delta', text: text(at) } })
  }
  write('content_block_stop', { index: 0 })
  write('message_delta', { delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 400 } })
  write('message_stop', {})
  response.end()
}

async function run(): Promise<void> {
  await using started = new AsyncDisposableStack()
  const upstream = fork(import.meta.filename, ['upstream'])
  started.defer(() => void upstream.kill())
  const [upstreamPort] = (await once(upstream, 'message')) as [number]
  const folder = await mkdtemp(join(tmpdir(), 'llmgw-bench-translation-'))
  started.defer(() => rm(folder, { recursive: true, force: true }))
  const { gateway, port } = await startGateway(folder, configOf(`http://127.0.0.1:${upstreamPort}`))
  started.defer(async () => {
    const closed = once(gateway, 'close')
    gateway.kill('SIGTERM')
    await closed
  })

  const pool = new Pool(`http://127.0.0.1:${port}`, { connections, pipelining: 1 })
  started.defer(() => pool.destroy())
  const figures: Record<'relayed' | 'translated', number[]> = { relayed: [], translated: [] }
  for (let round = 0; round <= rounds; round++) {
    const relayed = await usPerChunk(pool, gateway, 'openai/gpt-4o-mini')
    const translated = await usPerChunk(pool, gateway, 'anthropic/claude-sonnet-4-5')
    if (round === 0) continue
    figures.relayed.push(relayed)
    figures.translated.push(translated)
    const ratio = translated / relayed
    process.stdout.write(
      `round ${round}: relayed ${relayed.toFixed(2)} µs a chunk, translated ${translated.toFixed(2)}, ${ratio.toFixed(2)}x\n`,
    )
  }
  const ratios = figures.translated.map((one, at) => one / (figures.relayed[at] as number)).sort((a, b) => a - b)
  const [least, most] = [ratios[0] as number, ratios[ratios.length - 1] as number]
  const median = ratios[Math.floor(ratios.length / 2)] as number
  process.stdout.write(`translated / relayed: ${median.toFixed(2)} (${least.toFixed(2)} to ${most.toFixed(2)})\n`)
}

/** Processor time of the gateway for each chunk that a client got, in microseconds. */
async function usPerChunk(pool: Pool, gateway: ChildProcess, model: string): Promise<number> {
  const body = JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: 'Write.' }] })
  const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }
  const until = performance.now() + seconds * 1_000
  const beforeUs = cpuUs(gateway)
  let streams = 0
  const one = async (): Promise<void> => {
    while (performance.now() < until) {
      const answer = await pool.request({ method: 'POST', path: '/v1/chat/completions', headers, body })
      const received = await answer.body.text()
      if (answer.statusCode !== 200 || !received.endsWith('data: [DONE]\n\n')) throw new Error(received.slice(0, 500))
      streams++
    }
  }
  await Promise.all(Array.from({ length: connections }, one))
  return (cpuUs(gateway) - beforeUs) / (streams * chunksPerStream)
}

function configOf(upstreamUrl: string): object {
  const passthroughModels = true
  const credentials = { apiKey: 'sk-upstream' }
  const providers = [
    { name: 'openai', type: 'openai', baseUrl: `${upstreamUrl}/v1`, credentials, passthroughModels },
    { name: 'anthropic', type: 'anthropic', baseUrl: `${upstreamUrl}/anthropic`, credentials, passthroughModels },
  ]
  const rateLimits = { requestsPerMinute: 100_000_000, tokensPerMinute: 1_000_000_000_000, maxConcurrent: 100_000 }
  return { providers, keys: [{ name: 'bench', secret, rateLimits }], catalog: { sync: 'off' } }
}
