import { setTimeout as delay } from 'node:timers/promises'
import type { ProviderScript } from './provider-script.ts'
import { promptOf } from './provider-script.ts'
import type { Replica } from './replica.ts'
import type { Tenant } from './tenants.ts'
import { models } from './world.ts'

export interface CallOptions {
  model?: string
  stream?: boolean
  maxTokens?: number
  signal?: AbortSignal
}

/** What became of a call, as its client saw it. */
export interface Outcome {
  /** 0 when there was no answer at all. */
  status: number
  /** The code of the error, in the answer or in the stream. */
  code: string | undefined
  /** Whether an answer came to its proper end. */
  isWhole: boolean
  requestId: string | undefined
  headers: Headers
  sentMs: number
  endedMs: number
}

/** One chat completion, to its end; never rejects. Times are those of `performance.now()`. */
export async function callOnce(
  replica: Pick<Replica, 'restUrl'>,
  { secret }: Pick<Tenant, 'secret'>,
  script: ProviderScript = {},
  { model = models.byOutput, stream = false, maxTokens, signal }: CallOptions = {},
): Promise<Outcome> {
  const sentMs = performance.now()
  let status = 0
  let headers = new Headers()
  let text = ''
  try {
    const response = await fetch(`${replica.restUrl}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model,
        stream,
        ...(maxTokens === undefined ? {} : { max_tokens: maxTokens }),
        messages: [{ role: 'user', content: promptOf(script) }],
      }),
      signal: signal ?? null,
    })
    status = response.status
    headers = response.headers
    text = await response.text()
  } catch {
    // The connection was refused or broke; what there is of an answer is not one.
    return outcome(status, undefined, false)
  }
  const isWhole = status === 200 && (stream ? text.endsWith('data: [DONE]\n\n') : isCompletion(text))
  return outcome(status, /"code":\s*"([a-z_]+)"/.exec(text)?.[1], isWhole)

  function outcome(status: number, code: string | undefined, isWhole: boolean): Outcome {
    const requestId = headers.get('x-request-id') ?? undefined
    return { status, code, isWhole, requestId, headers, sentMs, endedMs: performance.now() }
  }
}

function isCompletion(text: string): boolean {
  try {
    return JSON.parse(text).object === 'chat.completion'
  } catch {
    return false
  }
}

/** Clients that call again and again until told to stop. */
export interface Load {
  readonly outcomes: readonly Outcome[]
  stop(): Promise<readonly Outcome[]>
}

export interface LoadOptions {
  clients: number
  /** Which replica the next call goes to; undefined waits for a moment. */
  replica(client: number): Pick<Replica, 'restUrl'> | undefined
  script(client: number): ProviderScript
  options?(client: number): CallOptions
  pauseMs?: number
}

export function startLoad(tenant: Pick<Tenant, 'secret'>, load: LoadOptions): Load {
  const outcomes: Outcome[] = []
  let stopped = false
  const { clients, pauseMs = 5 } = load
  const running = Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      while (!stopped) {
        const replica = reachable(load.replica(client))
        if (replica) outcomes.push(await callOnce(replica, tenant, load.script(client), load.options?.(client)))
        await delay(pauseMs)
      }
    }),
  )
  return {
    outcomes,
    async stop() {
      stopped = true
      await running
      return outcomes
    },
  }
}

/** A replica that is down has no address. */
function reachable(replica: Pick<Replica, 'restUrl'> | undefined): Pick<Replica, 'restUrl'> | undefined {
  try {
    return replica && { restUrl: replica.restUrl }
  } catch {
    return undefined
  }
}

/** How many outcomes of each kind: `200` or `429 budget_exceeded`. */
export function tally(outcomes: readonly Outcome[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { status, code, isWhole } of outcomes) {
    const kind = [status, code, status === 200 && !isWhole && !code ? 'cut' : undefined].filter(Boolean).join(' ')
    counts[kind || 'no answer'] = (counts[kind || 'no answer'] ?? 0) + 1
  }
  return counts
}
