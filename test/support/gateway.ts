import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { type App, openApp } from '../../src/app.ts'
import { type Config, loadConfig } from '../../src/config/load-config.ts'
import { type ConfigProblem, formatProblems } from '../../src/config/problem.ts'
import type { Log } from '../../src/core/log.ts'
import { createTestDatabase, type TestDatabase } from './database.ts'
import { eventually } from './eventually.ts'
import { createRecordingLog, type LogLine } from './log.ts'
import { openPostgresProxy, type PostgresProxy } from './postgres-proxy.ts'
import { type ScriptedUpstream, startScriptedUpstream } from './scripted-upstream.ts'

/** The whole gateway in this process, over a database of its own and two scripted upstreams. */
export interface TestGateway extends AsyncDisposable {
  readonly app: App
  /** Of the REST door, without `/v1`. */
  readonly url: string
  readonly opsUrl: string
  readonly database: TestDatabase
  readonly pool: pg.Pool
  /** Of a key that may use every model. */
  readonly keySecret: string
  /** Behind the providers `openai` (relayed) and `peer` (decoded). */
  readonly upstream: ScriptedUpstream
  /** Behind the provider `spare`, the second target of the alias `smart`. */
  readonly spare: ScriptedUpstream
  /** Stands before the database when `breakableDatabase` was asked for. */
  readonly postgres: PostgresProxy | undefined
  readonly logLines: readonly LogLine[]
  /** One line a settled request, where `keepsRequestLog` was asked for. */
  readonly requestLog: readonly string[]
  request(method: string, path: string, options?: CallOptions): Promise<Response>
  /** A chat request for `gpt-4o-mini`, but for what is given. */
  chat(body?: object | string | Buffer, options?: CallOptions): Promise<Response>
  /** An embeddings request for `text-embedding-3-small`, but for what is given. */
  embed(body?: object | string | Buffer, options?: CallOptions): Promise<Response>
  /** Waits until the record of a request is terminal. @param id - ours, or the one the client gave */
  settledRecord(id: string): Promise<SettledRecord>
  /** Waits until everything that was dispatched so far is in the database. @returns how many records there are */
  allSettled(): Promise<number>
  /** Sums the series of a metric that have these labels; 0 when there is none. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>
  /** Puts another config file in force, as SIGHUP does. */
  reload(file: NonNullable<TestGatewayOptions['file']>): Promise<readonly ConfigProblem[]>
  /** Reloads the config file as it is, which makes the gateway forget what it has learned of its upstreams. */
  forgetHealth(): Promise<void>
  close(): Promise<void>
}

export interface CallOptions {
  /** Null sends none. */
  key?: string | null
  headers?: Readonly<Record<string, string>>
  body?: object | string | Buffer
  signal?: AbortSignal
}

/** A row of `usage_records`, 64-bit integers as text, and what belongs to it. */
export interface SettledRecord {
  request_id: string
  state: string
  finish: string | null
  usage_source: string
  alias: string | null
  requested_model: string
  provider: string | null
  model: string | null
  stream: boolean
  operation: string
  http_status: number | null
  error_code: string | null
  input_tokens: string
  output_tokens: string
  reasoning_tokens: string
  cache_read_tokens: string
  units: Record<string, number>
  implausible_usage: unknown
  price_version: string | null
  unpriced: boolean
  retry_uncertain: boolean
  reserved_nano: string
  provider_cost_nano: string
  charged_nano: string
  overrun_nano: string
  budget_period_ids: string[]
  client_request_id: string | null
  provider_response_id: string | null
  end_user: string | null
  tags: Record<string, string>
  first_output_ms: number | null
  attempts: SettledAttempt[]
  /** Sum of the ledger's entries for the money itself, those of budget periods aside. */
  ledger_nano: string
  /** How many records there are for this id: always 1, or something is counted twice. */
  records: number
}

export interface SettledAttempt {
  attempt_no: number
  provider: string
  model: string
  outcome: string
  http_status: number | null
  error_code: string | null
  billing: string
  units: Record<string, number>
  price_version: string | null
  cost_nano: string
}

export interface TestGatewayOptions {
  /** Sections of the config file; lists are added to the default ones, everything else replaces it. */
  file?: Readonly<Record<string, unknown>>
  /** Of all providers. */
  timeouts?: Readonly<Record<string, number>>
  environment?: Readonly<Record<string, string>>
  breakableDatabase?: boolean
  keepsRequestLog?: boolean
  log?: Log & { lines: readonly LogLine[] }
  /** Another replica of that gateway: over its database, and before its upstreams. It is to be closed first. */
  beside?: TestGateway
}

export const upstreamCredential = 'sk-upstream-credential-0123456789'
const keySecret = 'door-suites-key-0123456789abcdef'
/** The same for all, as replicas on one database must have them. */
export const testKeyPepper = Buffer.alloc(32, 'key pepper')
export const testMasterKey = Buffer.alloc(32, 'master key')
const rootSecrets = {
  LLMGW_MASTER_KEY: testMasterKey.toString('base64'),
  LLMGW_KEY_PEPPER: testKeyPepper.toString('base64'),
}
const waitMsMax = 15_000

export async function openTestGateway(options: TestGatewayOptions = {}): Promise<TestGateway> {
  await using opening = new AsyncDisposableStack()
  const { beside } = options
  const database = beside?.database ?? (await createTestDatabase())
  if (!beside) opening.defer(() => database.drop())
  const dataDir = await mkdtemp(join(tmpdir(), 'llmgw-doors-'))
  opening.defer(() => rm(dataDir, { recursive: true, force: true }))
  const upstream = beside?.upstream ?? (await startScriptedUpstream())
  if (!beside) opening.defer(() => upstream.close())
  const spare = beside?.spare ?? (await startScriptedUpstream())
  if (!beside) opening.defer(() => spare.close())
  const postgres = options.breakableDatabase ? opening.use(await openPostgresProxy(database.url)) : undefined
  const log = options.log ?? createRecordingLog()

  const load = (sections: TestGatewayOptions['file']): Config => {
    const file = configFile({ ...options, ...(sections && { file: sections }) }, upstream.baseUrl, spare.baseUrl)
    const loaded = loadConfig(
      {
        LLMGW_CONFIG: '/llmgw.json',
        DATABASE_URL: postgres?.url ?? database.url,
        LLMGW_DATA_DIR: dataDir,
        LLMGW_PORT: '0',
        LLMGW_GRPC_PORT: '0',
        LLMGW_OPS_PORT: '0',
        LLMGW_ADMIN_PORT: '0',
        LLMGW_PRIVATE_UPSTREAMS: '127.0.0.1/32',
        ...rootSecrets,
        ...options.environment,
      },
      () => JSON.stringify(file), // JSON is YAML
    )
    if (!loaded.ok) throw new Error(formatProblems(loaded.problems))
    return loaded.config
  }
  const requestLog: string[] = []
  const app = await openApp(load(options.file), log, new AbortController().signal, {
    showKey: () => {},
    writeLog: (line) => void (options.keepsRequestLog && requestLog.push(line)),
  })
  opening.defer(() => app.close())
  const url = `http://127.0.0.1:${app.rest.port}`
  const opsUrl = `http://127.0.0.1:${app.ops.port}`
  const pool = database.pools.admin

  const request: TestGateway['request'] = (method, path, { key = keySecret, headers = {}, body, signal } = {}) =>
    fetch(`${url}${path}`, {
      method,
      headers: {
        ...(key !== null && { authorization: `Bearer ${key}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: wireBody(body) }),
      ...(signal && { signal }),
    })
  const metricsText = async (): Promise<string> => (await fetch(`${opsUrl}/metrics`)).text()

  const resources = opening.move()
  return {
    app,
    url,
    opsUrl,
    database,
    pool,
    keySecret,
    upstream,
    spare,
    postgres,
    logLines: log.lines,
    requestLog,
    request,
    chat: (body = {}, callOptions) =>
      request('POST', '/v1/chat/completions', { ...callOptions, body: completed(chatDefaults, body) }),
    embed: (body = {}, callOptions) =>
      request('POST', '/v1/embeddings', { ...callOptions, body: completed(embeddingDefaults, body) }),
    settledRecord: (id) => eventually(`the record of ${id}`, () => readRecord(pool, id), waitMsMax),
    async allSettled() {
      await eventually('everything to be settled', async () => {
        const text = await metricsText()
        return unsettled.every((name) => sumOf(text, name) === 0)
      })
      const { rows } = await pool.query<{ count: number }>('select count(*)::integer as count from usage_records')
      return rows[0]?.count ?? -1
    },
    metric: async (name, labels) => sumOf(await metricsText(), name, labels),
    reload: (sections) => app.reload(load(sections)),
    forgetHealth: async () => void (await app.reload(load(options.file))),
    close: () => resources.disposeAsync(),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

/** Zero when everything that was dispatched is in the database. */
const unsettled = [
  'llmgw_requests_in_flight',
  'llmgw_usage_journal_open_calls',
  'llmgw_usage_journal_pending_records',
] as const

/** Of the series of a metric that have these labels. */
function sumOf(metrics: string, name: string, labels: Readonly<Record<string, string>> = {}): number {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
  return metrics
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => wanted.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

/** Ours, from an answer's header. */
export function requestIdOf(response: Response): string {
  return response.headers.get('x-request-id') ?? 'the answer has no x-request-id'
}

export const chatDefaults = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Say hello.' }] } as const
export const embeddingDefaults = { model: 'text-embedding-3-small', input: 'Say hello.' } as const

const completed = (defaults: object, body: object | string | Buffer): object | string | Buffer =>
  typeof body === 'string' || Buffer.isBuffer(body) ? body : { ...defaults, ...body }

const wireBody = (body: object | string | Buffer): string | Uint8Array<ArrayBuffer> => {
  if (typeof body === 'string') return body
  return Buffer.isBuffer(body) ? new Uint8Array(body) : JSON.stringify(body)
}

function configFile({ file = {}, timeouts }: TestGatewayOptions, upstreamUrl: string, spareUrl: string): object {
  const credentials = { apiKey: upstreamCredential }
  const common = { credentials, ...(timeouts && { timeouts }) }
  const defaults: Readonly<Record<string, unknown>> = {
    providers: [
      { name: 'openai', type: 'openai', baseUrl: upstreamUrl, passthroughModels: true, ...common },
      { name: 'peer', type: 'openai-compatible', baseUrl: upstreamUrl, ...common },
      { name: 'spare', type: 'openai-compatible', preset: 'vllm', baseUrl: spareUrl, ...common },
      { name: 'demo', type: 'demo', tokensPerSecond: 1_000_000, latencyMs: 0 },
    ],
    models: [
      { provider: 'openai', name: 'round-numbers', inputUsdPerMillion: 1, outputUsdPerMillion: 4 },
      { provider: 'peer', name: 'peer-chat', inputUsdPerMillion: 2, outputUsdPerMillion: 8 },
      { provider: 'peer', name: 'peer-embedding', mode: 'embedding', inputUsdPerMillion: 0.5 },
      { provider: 'spare', name: 'spare-chat', inputUsdPerMillion: 3, outputUsdPerMillion: 6 },
    ],
    aliases: [
      {
        name: 'smart',
        targets: [
          { provider: 'openai', model: 'round-numbers', priority: 0 },
          { provider: 'spare', model: 'spare-chat', priority: 1 },
        ],
      },
    ],
    keys: [{ name: 'suites', secret: keySecret, tags: { team: 'doors' } }],
    catalog: { sync: 'off' },
  }
  const merged: Record<string, unknown> = { ...defaults, ...file }
  for (const [section, value] of Object.entries(defaults)) {
    if (Array.isArray(value)) merged[section] = [...value, ...((file[section] as unknown[] | undefined) ?? [])]
  }
  return merged
}

async function readRecord(pool: pg.Pool, id: string): Promise<SettledRecord | undefined> {
  const { rows } = await pool.query<SettledRecord>(
    `select record.*, count(*) over ()::integer as records,
       (select coalesce(json_agg(attempt order by attempt.attempt_no), '[]') from usage_attempts as attempt
        where attempt.request_id = record.request_id) as attempts,
       (select coalesce(sum(entry.amount_nano), 0)::text from ledger_entries as entry
        where entry.request_id = record.request_id and entry.budget_period_id is null) as ledger_nano
     from usage_records as record
     where (record.request_id::text = $1 or record.client_request_id = $1) and record.state <> 'reserved'`,
    [id],
  )
  const [row] = rows
  if (!row) return undefined
  // In JSON, bigint columns are numbers.
  return { ...row, attempts: row.attempts.map((attempt) => ({ ...attempt, cost_nano: String(attempt.cost_nano) })) }
}
