/**
 * How long first pages of every list and statistics of 90 days take over HTTP, with many rows; and what 200 subscribers cost
 * the process that also serves calls.
 *
 *     node bench/admin.ts            # both
 *     node bench/admin.ts lists      # or one of them
 *     node bench/admin.ts subscribers
 *
 * BENCH_CALLS (1,000,000) over 90 days, of BENCH_KEYS (10,000) keys in 50 organizations; each list is asked for
 * BENCH_ASKS (60) times after five that do not count. Subscribers: BENCH_ROUNDS (5) of BENCH_SECONDS (10) without and with
 * them in turn, at BENCH_RATE (500) requests a second. The database, which is made for this, the gateway, the fake provider
 * and the subscribers are processes of their own; processor time is that of the gateway's process alone.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createClient } from 'graphql-ws'
import { pino } from 'pino'
import { Pool } from 'undici'
import { WebSocket } from 'ws'
import { startEmbeddedPostgres } from '../src/core/db/embedded-postgres.ts'
import { migrateUp } from '../src/core/db/migrate.ts'
import { maintainPartitions } from '../src/core/db/partitions.ts'
import { fillAdminData } from './admin-data.ts'

const number = (name: string, usual: number): number => Number(process.env[name] ?? usual)
const calls = number('BENCH_CALLS', 1_000_000)
const keys = number('BENCH_KEYS', 10_000)
const asks = number('BENCH_ASKS', 60)
const rounds = number('BENCH_ROUNDS', 5)
const seconds = number('BENCH_SECONDS', 10)
const rate = number('BENCH_RATE', 500)
const subscribers = 200
const socketsPerAccount = 5
const secret = 'admin-bench-0123456789abcdef'
const administrator = { email: 'bench@example.com', password: 'a password for benches' }
const since90Days = new Date(Date.now() - 89 * 86_400_000).toISOString()
/** A clock tick of Linux. */
const tickUs = 10_000

const role = process.argv[2]
if (role === 'upstream') serveUpstream()
else if (role === 'watch') await watch()
else await run()

interface Gateway {
  process: ChildProcess
  port: number
  adminUrl: string
}

async function run(): Promise<void> {
  await using started = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'llmgw-bench-admin-'))
  started.defer(() => rm(folder, { recursive: true, force: true }))
  const log = pino({ level: 'warn' }, pino.destination(2))
  const postgres = await startEmbeddedPostgres({ dataDir: folder, log, durable: false })
  started.defer(() => postgres.close())
  await migrateUp({ url: postgres.url, log })
  await maintainPartitions({ url: postgres.url, log, usageRetentionDays: 400, ledgerRetentionDays: 2_555 })
  if (role !== 'subscribers') {
    process.stdout.write(`filling the database with ${calls} calls\n`)
    await fillAdminData(postgres.url, { organizations: 50, keys, calls, days: 90 })
  }
  const upstream = fork(import.meta.filename, ['upstream'])
  started.defer(() => void upstream.kill())
  const [upstreamPort] = (await once(upstream, 'message')) as [number]
  const gateway = await startGateway(folder, `http://127.0.0.1:${upstreamPort}/v1`, postgres.url)
  started.defer(async () => {
    const closed = once(gateway.process, 'close')
    gateway.process.kill('SIGTERM')
    await closed
  })
  const token = await signIn(gateway, administrator)
  if (role !== 'subscribers') await measureLists(gateway, token)
  if (role !== 'lists') await measureSubscribers(gateway, token)
}

async function measureLists(gateway: Gateway, token: string): Promise<void> {
  const first = await ask(gateway, token, '{ apiKeys(first: 1) { nodes { id organization { id } } } }')
  const [{ id: keyId, organization }] = first.apiKeys.nodes
  const call = 'requestId reservedAt cost { usd } provider model organization { slug } apiKey { name }'
  const lists: Record<string, string> = {
    'calls, all': `{ usageRecords { nodes { ${call} } } }`,
    'calls of an organization': `{ usageRecords(filter: { ownerId: "${organization.id}" }) { nodes { ${call} } } }`,
    'calls of a key': `{ usageRecords(filter: { apiKeyId: "${keyId}" }) { nodes { ${call} } } }`,
    'calls that failed': `{ usageRecords(filter: { failed: true }) { nodes { ${call} } } }`,
    'calls by tag': `{ usageRecords(filter: { tag: { name: "feature", value: "f7" } }) { nodes { ${call} } } }`,
    'calls with attempts and ledger': `{ usageRecords { nodes { ${call} attempts { model } ledgerEntries { amount { usd } } } } }`,
    keys: '{ apiKeys { nodes { name organization { slug } team { slug } rateLimit { strict } } } }',
    'keys by name': '{ apiKeys(filter: { search: "key 77" }) { nodes { name } } }',
    organizations: '{ organizations { nodes { slug teams { slug } } } }',
    budgets: '{ budgets { nodes { amount { usd } left { usd } apiKey { name } } } }',
    'rate limits': '{ rateLimits { nodes { apiKey { name } current { running } } } }',
    audit: '{ auditEvents { nodes { action organization { slug } } } }',
    models: '{ models { nodes { name price { version } } } }',
    'models by name': '{ models(filter: { search: "claude" }) { nodes { name } } }',
    providers: '{ providers { nodes { name health { process } } } }',
    aliases: '{ aliases { nodes { name targets { model } } } }',
    users: '{ adminUsers { nodes { email roles { role } } } }',
    replicas: '{ replicas { nodes { host } } }',
    'configuration versions': '{ configVersions { nodes { version } } }',
    'catalog syncs': '{ catalogSyncs { nodes { status } } }',
    '90 days, all': `{ usageStatistics(since: "${since90Days}") { rows { bucket requests cost { usd } } } }`,
    '90 days by organization': `{ usageStatistics(since: "${since90Days}", by: [ORGANIZATION]) { rows { organization { slug } cost { usd } } } }`,
    '90 days by model': `{ usageStatistics(since: "${since90Days}", by: [MODEL]) { rows { model cost { usd } } } }`,
    '90 days of an organization': `{ usageStatistics(since: "${since90Days}", ownerId: "${organization.id}") { rows { bucket cost { usd } } } }`,
    '90 days of a key': `{ usageStatistics(since: "${since90Days}", apiKeyId: "${keyId}") { rows { bucket cost { usd } } } }`,
    'months by organization': `{ usageStatistics(since: "${since90Days}", interval: MONTH, by: [ORGANIZATION]) { rows { cost { usd } } } }`,
  }
  for (const [name, query] of Object.entries(lists)) {
    // An account for each: there is a limit of operations a minute.
    const asker = await addAdministrator(gateway, token, name.replaceAll(/\W+/g, '-'))
    const times: number[] = []
    for (let turn = -5; turn < asks; turn++) {
      const startedMs = performance.now()
      await ask(gateway, asker, query)
      if (turn >= 0) times.push(performance.now() - startedMs)
    }
    times.sort((a, b) => a - b)
    const at = (share: number): string => (times[Math.floor(share * (times.length - 1))] as number).toFixed(1)
    process.stdout.write(`${name.padEnd(34)} p50 ${at(0.5).padStart(7)} ms   p95 ${at(0.95).padStart(7)} ms\n`)
  }
}

async function measureSubscribers(gateway: Gateway, root: string): Promise<void> {
  const tokens: string[] = []
  for (let at = 0; at < subscribers / socketsPerAccount; at++)
    tokens.push(await addAdministrator(gateway, root, `watcher-${at}`))
  const without: number[] = []
  const withThem: number[] = []
  for (let round = 0; round <= rounds; round++) {
    const alone = await usPerRequest(gateway)
    const watcher = fork(import.meta.filename, [
      'watch',
      `${gateway.adminUrl.replace('http', 'ws')}/graphql`,
      ...tokens,
    ])
    await once(watcher, 'message')
    const watched = await usPerRequest(gateway)
    watcher.send('stop')
    const [events] = (await once(watcher, 'message')) as [number]
    watcher.kill()
    await once(watcher, 'close')
    if (round === 0) continue
    without.push(alone)
    withThem.push(watched)
    process.stdout.write(
      `round ${round}: ${alone.toFixed(0)} µs a request alone, ${watched.toFixed(0)} with ${subscribers} subscribers, ${(watched / alone).toFixed(3)}x, ${events} events\n`,
    )
  }
  const ratios = withThem.map((one, at) => one / (without[at] as number)).sort((a, b) => a - b)
  const shown = [ratios[Math.floor(ratios.length / 2)], ratios[0], ratios.at(-1)].map((ratio) => ratio?.toFixed(3))
  process.stdout.write(`with / without: ${shown[0]} (${shown[1]} to ${shown[2]})\n`)
}

/** Processor time of the gateway for each request at a steady rate, in microseconds. */
async function usPerRequest(gateway: Gateway): Promise<number> {
  const pool = new Pool(`http://127.0.0.1:${gateway.port}`, { connections: 64, pipelining: 1 })
  const body = JSON.stringify({ model: 'openai/gpt-4o-mini', messages: [{ role: 'user', content: 'Write.' }] })
  const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }
  const one = async (): Promise<void> => {
    const answer = await pool.request({ method: 'POST', path: '/v1/chat/completions', headers, body })
    if (answer.statusCode !== 200) throw new Error(await answer.body.text())
    await answer.body.dump()
  }
  const beforeUs = cpuUs(gateway.process)
  const startedMs = performance.now()
  const sent: Promise<void>[] = []
  while (sent.length < rate * seconds) {
    const due = Math.min(rate * seconds, Math.floor(((performance.now() - startedMs) / 1_000) * rate))
    while (sent.length < due) sent.push(one())
    await delay(2)
  }
  await Promise.all(sent)
  const usedUs = cpuUs(gateway.process) - beforeUs
  await pool.destroy()
  return usedUs / sent.length
}

/** Dashboards: five sockets an account, each with the totals of every second. */
async function watch(): Promise<void> {
  const [url = '', ...tokens] = process.argv.slice(3)
  let events = 0
  const began: Promise<void>[] = []
  for (const token of tokens) {
    for (let socket = 0; socket < socketsPerAccount; socket++) {
      const client = createClient({
        url,
        webSocketImpl: WebSocket,
        lazy: false,
        connectionParams: { authorization: `Bearer ${token}` },
      })
      const first = Promise.withResolvers<void>()
      began.push(first.promise)
      client.subscribe(
        { query: 'subscription { usageTotals(intervalSeconds: 1) { requests cost { usd } } }' },
        {
          next() {
            events++
            first.resolve()
          },
          error: first.reject,
          complete: () => {},
        },
      )
    }
  }
  await Promise.all(began)
  events = 0
  process.send?.('watching')
  process.on('message', () => process.send?.(events))
}

// biome-ignore lint/suspicious/noExplicitAny: whatever the operation asks for
async function ask({ adminUrl }: Gateway, token: string | undefined, query: string, variables?: object): Promise<any> {
  const response = await fetch(`${adminUrl}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify({ query, variables }),
  })
  const { data, errors } = (await response.json()) as { data: unknown; errors?: unknown }
  if (errors) throw new Error(JSON.stringify(errors))
  return data
}

/** @returns an access token of a new account */
async function addAdministrator(gateway: Gateway, root: string, name: string): Promise<string> {
  const account = { email: `${name}@example.com`, password: `the password of ${name}` }
  const input = { ...account, displayName: name }
  const create = 'mutation ($input: AdminUserCreateInput!) { adminUserCreate(input: $input) { adminUser { id } } }'
  const granteeId = (await ask(gateway, root, create, { input })).adminUserCreate.adminUser.id
  const grant = 'mutation ($input: RoleGrantInput!) { roleGrant(input: $input) { roleBinding { id } } }'
  await ask(gateway, root, grant, { input: { granteeId, role: 'ADMIN' } })
  return signIn(gateway, account)
}

async function signIn(gateway: Gateway, input: { email: string; password: string }): Promise<string> {
  const document = 'mutation ($input: SessionSignInInput!) { sessionSignIn(input: $input) { accessToken } }'
  return (await ask(gateway, undefined, document, { input })).sessionSignIn.accessToken
}

function serveUpstream(): void {
  const answer = JSON.stringify({
    id: 'chatcmpl-bench',
    object: 'chat.completion',
    created: 1_700_000_000,
    model: 'gpt-4o-mini',
    choices: [{ index: 0, message: { role: 'assistant', content: 'Hello.' }, logprobs: null, finish_reason: 'stop' }],
    usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
  })
  const server = createServer((request, response) => {
    request.resume()
    request.on('end', () => response.writeHead(200, { 'content-type': 'application/json' }).end(answer))
  })
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
  process.on('disconnect', () => process.exit())
}

function cpuUs({ pid }: ChildProcess): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * tickUs
}

async function startGateway(folder: string, upstreamUrl: string, databaseUrl: string): Promise<Gateway> {
  const configFile = join(folder, 'gateway.yaml')
  const credentials = { apiKey: 'sk-upstream' }
  const providers = [{ name: 'openai', type: 'openai', baseUrl: upstreamUrl, credentials }]
  // JSON is YAML.
  await writeFile(
    configFile,
    JSON.stringify({ providers, keys: [{ name: 'bench', secret }], catalog: { sync: 'off' } }),
  )
  const [port, opsPort, adminPort] = await Promise.all([freePort(), freePort(), freePort()])
  const gateway = spawn(process.execPath, ['--max-semi-space-size=16', join(import.meta.dirname, '../src/main.ts')], {
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      DATABASE_URL: databaseUrl,
      LLMGW_DATA_DIR: join(folder, 'data'),
      LLMGW_CONFIG: configFile,
      LLMGW_PORT: String(port),
      LLMGW_OPS_PORT: String(opsPort),
      LLMGW_ADMIN_PORT: String(adminPort),
      LLMGW_GRPC_PORT: '0',
      LLMGW_BOOTSTRAP_ADMIN_EMAIL: administrator.email,
      LLMGW_BOOTSTRAP_ADMIN_PASSWORD: administrator.password,
      LLMGW_DRAIN_DELAY_MS: '0',
      LLMGW_PRIVATE_UPSTREAMS: '127.0.0.1/32',
    },
    stdio: 'ignore',
  })
  while (gateway.exitCode === null) {
    const response = await fetch(`http://127.0.0.1:${opsPort}/readyz`).catch(() => undefined)
    if (response?.ok) return { process: gateway, port, adminUrl: `http://127.0.0.1:${adminPort}` }
    await delay(100)
  }
  throw new Error('The gateway stopped before it was ready.')
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
