// A provider of OpenAI's protocol as a process of its own: what it notes down is what happened, whoever else dies.
import { once } from 'node:events'
import { openSync, writeSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { JournalLine } from './provider.ts'
import { absurdTokens, type ProviderScript, promptTokens, scriptOf } from './provider-script.ts'

const [journalPath = ''] = process.argv.slice(2)
const journal = openSync(journalPath, 'a', 0o600)
/** One write a line, handed to the operating system before anything is answered. */
const note = (line: JournalLine): void => void writeSync(journal, `${JSON.stringify(line)}\n`)

const gates = new Map<string, PromiseWithResolvers<void>>()
const gateOf = (name: string): PromiseWithResolvers<void> => {
  const gate = gates.get(name) ?? Promise.withResolvers<void>()
  gates.set(name, gate)
  return gate
}

interface Exchange {
  response: ServerResponse
  script: ProviderScript
  model: string
  stream: boolean
  clientGone: Promise<'client_gone'>
}

let calls = 0

const server = createServer((request, response) => {
  answer(request, response).catch((error: unknown) => {
    process.stderr.write(`${String(error)}\n`)
    response.destroy()
  })
})
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`)
})
// The runner is gone, however it ended.
process.stdin.resume().on('end', () => process.exit(0))

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const closed = once(response, 'close')
  closed.catch(() => {})
  const chunks: Buffer[] = []
  try {
    for await (const chunk of request) chunks.push(chunk as Buffer)
  } catch {
    return // The request never came whole, so there was no call.
  }
  if (request.url?.startsWith('/gates/')) {
    gateOf(decodeURIComponent(request.url.slice('/gates/'.length))).resolve()
    response.end()
    return
  }
  const body = JSON.parse(Buffer.concat(chunks).toString('utf8')) as Record<string, unknown>
  const script = scriptOf(body.messages)
  const call = ++calls
  const requestId = String(request.headers['x-client-request-id'] ?? '')
  const stream = body.stream === true
  const maxTokens = (body.max_completion_tokens ?? body.max_tokens ?? null) as number | null
  note({ at: Date.now(), call, event: 'call', requestId, model: String(body.model), stream, maxTokens })
  const clientGone = closed.then(() => 'client_gone' as const)
  const ended = await exchange({ response, script, model: String(body.model), stream, clientGone })
  note({ at: Date.now(), call, event: 'end', ...ended })
}

type Ended = Omit<Extract<JournalLine, { event: 'end' }>, 'at' | 'call' | 'event'>

async function exchange({ response, script, model, stream, clientGone }: Exchange): Promise<Ended> {
  const chunks = script.chunks ?? 3
  const usage = usageOf(script, chunks)
  const reported = usage && (script.usage ?? 'given') === 'given' ? { usage: { ...usage } } : {}
  let chunksSent = 0
  /** Resolves with true when the client has gone meanwhile. */
  const gone = async (wait: Promise<unknown>): Promise<boolean> =>
    (await Promise.race([wait, clientGone])) === 'client_gone'
  const left = (): Ended => ({ how: 'client_gone', chunksSent })

  if (script.hang && (await gone(new Promise(() => {})))) return left()
  if (script.gate && (await gone(gateOf(script.gate).promise))) return left()
  if (script.afterMs && (await gone(delay(script.afterMs)))) return left()
  if (response.destroyed) return left()
  if (script.status) {
    response.writeHead(script.status, json).end(JSON.stringify({ error: { message: 'As scripted.', type: 'error' } }))
    await clientGone
    return { how: 'refused', chunksSent }
  }
  const head = { id: `chatcmpl-${calls}`, created: Math.floor(Date.now() / 1_000), model }
  if (!stream) {
    const message = { role: 'assistant', content: 'word '.repeat(chunks) }
    const choices = [{ index: 0, message, finish_reason: 'stop' }]
    const text = JSON.stringify({ ...head, object: 'chat.completion', choices, ...(usage ? { usage } : {}) })
    if (script.cutAfterChunks !== undefined) {
      response.writeHead(200, { ...json, 'content-length': Buffer.byteLength(text) })
      await written(response, text.slice(0, text.length / 2))
      response.destroy()
      return { how: 'cut', chunksSent }
    }
    response.writeHead(200, json).end(text)
    await clientGone
    return response.writableFinished ? { how: 'whole', chunksSent: chunks, ...reported } : left()
  }

  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const send = (choices: object[], more: object = {}): Promise<void> =>
    written(response, `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices, ...more })}\n\n`)
  await send([{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }])
  for (; chunksSent < chunks; chunksSent++) {
    if (script.cutAfterChunks === chunksSent) {
      response.destroy()
      return { how: 'cut', chunksSent }
    }
    if (chunksSent > 0 && script.everyMs && (await gone(delay(script.everyMs)))) return left()
    if (response.destroyed) return left()
    await send([{ index: 0, delta: { content: 'word ' }, finish_reason: null }])
  }
  await send([{ index: 0, delta: {}, finish_reason: 'stop' }])
  if (usage) await send([], { usage })
  response.end('data: [DONE]\n\n')
  await clientGone
  return response.writableFinished ? { how: 'whole', chunksSent, ...reported } : left()
}

const json = { 'content-type': 'application/json' }

/** Resolves when the bytes are with the operating system, or the connection is gone. */
function written(response: ServerResponse, text: string): Promise<void> {
  return new Promise((resolve) => {
    response.once('close', resolve)
    response.write(text, () => {
      response.off('close', resolve)
      resolve()
    })
  })
}

function usageOf(script: ProviderScript, chunks: number) {
  const kind = script.usage ?? 'given'
  if (kind === 'none') return undefined
  const output = kind === 'given' ? (script.outputTokens ?? chunks) : absurdTokens[kind]
  return { prompt_tokens: promptTokens, completion_tokens: output, total_tokens: promptTokens + output }
}
