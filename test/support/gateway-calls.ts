import { get } from 'node:http'
import type pg from 'pg'
import type { GatewayProcess } from './gateway-process.ts'
import type { ScriptedUpstream } from './scripted-upstream.ts'

export const testSecret = 'e2e-secret-of-the-tester-0001'
export const upstreamKey = 'sk-e2e-upstream-credential-0001'

/** A config file with the scripted upstream as `openai`, a model with round prices, and a key to call it with. */
export const configFor = (upstream: Pick<ScriptedUpstream, 'baseUrl'>, more: object = {}): object => ({
  providers: [
    { name: 'openai', type: 'openai', baseUrl: upstream.baseUrl, credentials: { apiKey: upstreamKey } },
    { name: 'demo', type: 'demo', latencyMs: 0, tokensPerSecond: 10_000 },
  ],
  models: [{ provider: 'openai', name: 'test-model', inputUsdPerMillion: 1, outputUsdPerMillion: 2 }],
  keys: [{ name: 'tester', secret: testSecret }],
  catalog: { sync: 'off' },
  ...more,
})

/** The environment that goes with it. */
export const environmentFor = ({ configPath }: { configPath: string }): Record<string, string> => ({
  LLMGW_CONFIG: configPath,
  LLMGW_PRIVATE_UPSTREAMS: '127.0.0.1',
})

export interface ChatOptions {
  model?: string
  prompt?: string
  stream?: boolean
  secret?: string
  headers?: Record<string, string>
  signal?: AbortSignal
}

/** One chat completion, as a client asks for it. */
export function chat({ restUrl }: { restUrl: string }, options: ChatOptions = {}): Promise<Response> {
  const {
    model = 'openai/test-model',
    prompt = 'Hello!',
    stream = false,
    secret = testSecret,
    headers,
    signal,
  } = options
  return fetch(`${restUrl}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model, stream, messages: [{ role: 'user', content: prompt }] }),
    signal: signal ?? null,
  })
}

/** Whether a client that reads the answer to its end has got all of it. */
export async function isWhole(response: Response): Promise<boolean> {
  const text = await response.text()
  if (response.status !== 200) return false
  return response.headers.get('content-type')?.startsWith('text/event-stream')
    ? text.endsWith('data: [DONE]\n\n')
    : JSON.parse(text).object === 'chat.completion'
}

/** The status of a GET over a connection of its own, or the code of the error when there is none to be had. */
export function statusOf(url: string): Promise<number | string> {
  return new Promise((resolve) => {
    get(url, { agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    }).on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
  })
}

/** Without the detail that comes with it. */
export async function readiness({
  opsUrl,
}: Pick<GatewayProcess, 'opsUrl'>): Promise<{ status: string; reasons: string[] }> {
  const response = await fetch(`${opsUrl}/readyz`)
  const { status, reasons } = (await response.json()) as { status: string; reasons: string[] }
  return { status, reasons }
}

export interface UsageRow {
  request_id: string
  client_request_id: string | null
  state: string
  finish: string | null
  usage_source: string
  provider_cost_nano: string
}

export async function usageRows(database: pg.Pool | pg.Client): Promise<UsageRow[]> {
  const { rows } = await database.query<UsageRow>(
    `select request_id, client_request_id, state, finish, usage_source, provider_cost_nano from usage_records
     order by reserved_at`,
  )
  return rows
}

/** What the records say was spent, and what the ledger says, in nano-dollars. */
export async function spent(database: pg.Pool | pg.Client): Promise<{ records: string; ledger: string }> {
  const { rows } = await database.query<{ records: string; ledger: string }>(
    `select (select coalesce(sum(provider_cost_nano), 0)::text from usage_records) as records,
       (select coalesce(sum(amount_nano), 0)::text from ledger_entries) as ledger`,
  )
  return rows[0] as { records: string; ledger: string } // a select without a table gives one row
}
