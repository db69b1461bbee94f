import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** One request as the upstream saw it. */
export interface SeenRequest {
  path: string
  headers: IncomingHttpHeaders
  body: string
  json: Record<string, unknown>
  /** Resolves when the gateway has closed the exchange before the upstream was done. */
  aborted: Promise<void>
  isAborted: boolean
}

/** How the upstream behaves for one request. */
export type Behaviour = (response: ServerResponse, request: SeenRequest) => void | Promise<void>

/** A provider of OpenAI's protocol on 127.0.0.1 that does what a test tells it, and remembers what it was asked. */
export interface ScriptedUpstream {
  readonly baseUrl: string
  readonly requests: readonly SeenRequest[]
  /** How many were made to it so far. */
  readonly connections: number
  /** For all requests from now on. */
  answer(behaviour: Behaviour): void
  /** Resolves once that many requests have arrived. */
  seen(count: number): Promise<void>
  /** Stops listening and drops connections; the same port can be opened again. */
  stop(): Promise<void>
  restart(): Promise<void>
  close(): Promise<void>
}

export async function startScriptedUpstream(): Promise<ScriptedUpstream> {
  let requests: SeenRequest[] = []
  let behaviour: Behaviour = (response, request) => respondWithCompletion(response, request)
  let waiting: { count: number; resolve: () => void }[] = []
  const server = createServer(async (incoming, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks).toString('utf8')
    const closed = once(response, 'close')
    const seen: SeenRequest = {
      path: incoming.url ?? '',
      headers: incoming.headers,
      body,
      json: parsedOrEmpty(body),
      isAborted: false,
      aborted: closed.then(() => {
        if (response.writableFinished) return new Promise<void>(() => {})
        seen.isAborted = true
        return undefined
      }),
    }
    requests = [...requests, seen]
    for (const entry of waiting) if (requests.length >= entry.count) entry.resolve()
    waiting = waiting.filter(({ count }) => requests.length < count)
    try {
      await behaviour(response, seen)
    } catch {
      response.destroy()
    }
  })
  let connections = 0
  server.on('connection', () => connections++)
  const listen = async (port: number): Promise<number> => {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }
  const stop = async (): Promise<void> => {
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }
  const port = await listen(0)
  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    get requests() {
      return requests
    },
    get connections() {
      return connections
    },
    answer(next) {
      behaviour = next
    },
    seen: (count) =>
      requests.length >= count ? Promise.resolve() : new Promise((resolve) => waiting.push({ count, resolve })),
    stop,
    restart: async () => void (await listen(port)),
    close: stop,
  }
}

export interface Completion {
  id?: string
  content?: string
  usage?: object | null
  finishReason?: string
}

/** A whole answer to a chat or embeddings request, in the form it was asked for. */
export function respondWithCompletion(
  response: ServerResponse,
  { path, json }: SeenRequest,
  { id = 'chatcmpl-1', content = 'Hello there.', usage = usageOf(11, 3), finishReason = 'stop' }: Completion = {},
): void {
  if (path.endsWith('/embeddings')) {
    respondWithJson(response, 200, embeddings(json))
    return
  }
  const head = { id, created: 1_760_000_000, model: String(json.model) }
  if (json.stream !== true) {
    const message = { role: 'assistant', content, refusal: null }
    const choices = [{ index: 0, message, logprobs: null, finish_reason: finishReason }]
    respondWithJson(response, 200, { ...head, object: 'chat.completion', choices, ...(usage ? { usage } : {}) })
    return
  }
  startStream(response)
  const chunk = (choices: object[], extra: object = {}): void =>
    writeFrame(response, { ...head, object: 'chat.completion.chunk', choices, ...extra })
  const withUsage = (json.stream_options as { include_usage?: boolean } | undefined)?.include_usage === true
  const none = withUsage ? { usage: null } : {}
  chunk([{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }], none)
  for (const word of content.match(/\S+\s*/g) ?? []) {
    chunk([{ index: 0, delta: { content: word }, finish_reason: null }], none)
  }
  chunk([{ index: 0, delta: {}, finish_reason: finishReason }], none)
  if (withUsage && usage) chunk([], { usage })
  response.end('data: [DONE]\n\n')
}

export const usageOf = (prompt: number, completion: number): object => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
})

export function respondWithJson(response: ServerResponse, status: number, body: object, headers: object = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}

export function startStream(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.flushHeaders()
}

export function writeFrame(response: ServerResponse, value: object): void {
  response.write(`data: ${JSON.stringify(value)}\n\n`)
}

/** One text delta, as OpenAI sends it. */
export const textChunk = (content: string): object => ({
  id: 'chatcmpl-1',
  object: 'chat.completion.chunk',
  created: 1_760_000_000,
  model: 'gpt-4o-mini',
  choices: [{ index: 0, delta: { content }, finish_reason: null }],
})

function embeddings({ input, encoding_format, model }: Record<string, unknown>): object {
  const inputs = Array.isArray(input) ? input : [input]
  const data = inputs.map((_, index) => {
    const vector = new Float32Array([index + 0.25, -0.5, 0.125])
    const base64 = Buffer.from(vector.buffer).toString('base64')
    return { object: 'embedding', index, embedding: encoding_format === 'base64' ? base64 : [...vector] }
  })
  return { object: 'list', data, model, usage: { prompt_tokens: 4 * inputs.length, total_tokens: 4 * inputs.length } }
}

function parsedOrEmpty(body: string): Record<string, unknown> {
  try {
    return JSON.parse(body)
  } catch {
    return {}
  }
}
