/**
 * Grades the gateway against the recorded provider traffic of the conformance kit, where the kit lies beside the
 * checkout: starts the kit's fake provider and the gateway, runs the kit's checks, and stops both.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync, realpathSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const root = join(import.meta.dirname, '../..')
const kitBesideCheckout = join(root, '../shared/conformance')
/** Its real path, since the kit's programs do nothing when they are called by another name. */
const kit = existsSync(kitBesideCheckout) ? realpathSync(kitBesideCheckout) : undefined

/** The providers that the gateway has, by the kit's names; `type` and `baseUrl` are how it is told of them. */
const providers = (replayUrl: string) => [
  { name: 'openai', type: 'openai', baseUrl: `${replayUrl}/v1` },
  { name: 'openai-compatible', type: 'openai-compatible', baseUrl: `${replayUrl}/v1` },
  { name: 'anthropic', type: 'anthropic', baseUrl: replayUrl },
  { name: 'gemini', type: 'gemini', baseUrl: `${replayUrl}/v1beta` },
  { name: 'azure', type: 'azure-openai', baseUrl: replayUrl },
  {
    name: 'bedrock',
    type: 'bedrock',
    baseUrl: replayUrl,
    region: 'us-east-1',
    credentials: { accessKeyId: 'AKIANOTAREALKEY', secretAccessKey: 'not-a-real-key' },
  },
  {
    name: 'vertex',
    type: 'vertex',
    baseUrl: `${replayUrl}/v1/projects/p/locations/us-central1`,
    credentials: { accessToken: 'not-a-real-token' },
  },
]
const apis = [
  'openai-chat',
  'azure-chat',
  'openai-embeddings',
  'anthropic-messages',
  'gemini',
  'gemini-embeddings',
  'bedrock-converse',
  'bedrock-invoke-embeddings',
]

const keySecret = 'conformance-0123456789abcdef'
const startMsMax = 60_000
const stopMsMax = 30_000

if (kit) process.exitCode = await run(kit)
else process.stdout.write('skipped: conformance (no kit at ../shared/conformance)\n')

async function run(kit: string): Promise<number> {
  await using started = new AsyncDisposableStack()
  const interrupted = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupted.abort())

  const folder = await mkdtemp(join(tmpdir(), 'llmgw-conformance-'))
  started.defer(() => rm(folder, { recursive: true, force: true }))
  const [replayPort, restPort, opsPort] = await Promise.all([freePort(), freePort(), freePort()])
  const replayUrl = `http://127.0.0.1:${replayPort}`
  const logFile = join(folder, 'output.log')
  const configFile = join(folder, 'gateway.yaml')
  await writeFile(configFile, configFor(replayUrl))

  const replay = start([join(kit, 'replay.mjs'), '--port', String(replayPort), '--quiet'], logFile)
  started.defer(() => stop(replay))
  const gateway = start([join(root, 'src/main.ts')], logFile, {
    LLMGW_DATA_DIR: join(folder, 'data'),
    LLMGW_CONFIG: configFile,
    LLMGW_PORT: String(restPort),
    LLMGW_OPS_PORT: String(opsPort),
    LLMGW_ADMIN_PORT: '0',
    LLMGW_GRPC_PORT: '0',
    LLMGW_DRAIN_DELAY_MS: '0',
    LLMGW_PRIVATE_UPSTREAMS: '127.0.0.1/32',
  })
  started.defer(() => stop(gateway))

  try {
    await Promise.all([
      answers(`${replayUrl}/_cases`, replay, interrupted.signal),
      answers(`http://127.0.0.1:${opsPort}/readyz`, gateway, interrupted.signal),
    ])
  } catch (error) {
    process.stderr.write(`${await readFile(logFile, 'utf8')}\n${String(error)}\n`)
    return 1
  }

  const check = spawn(
    process.execPath,
    [
      join(kit, 'check.mjs'),
      ...['--gateway', `http://127.0.0.1:${restPort}`],
      ...['--key', keySecret],
      ...['--replay', replayUrl],
      ...['--model', '{provider}/replay-{id}'],
      ...['--only', `^(${(await caseIds(kit)).join('|')})$`],
    ],
    { stdio: 'inherit' },
  )
  interrupted.signal.addEventListener('abort', () => check.kill())
  const [exitCode] = await once(check, 'close')
  if (exitCode !== 0) {
    const log = await readFile(logFile, 'utf8')
    process.stderr.write(`The end of the gateway's log:\n${log.split('\n').slice(-40).join('\n')}\n`)
  }
  return exitCode === 0 ? 0 : 1
}

function configFor(replayUrl: string): string {
  const credentials = { apiKey: 'not-a-real-key' }
  // JSON is YAML.
  return JSON.stringify({
    providers: providers(replayUrl).map((provider) => ({ credentials, ...provider, passthroughModels: true })),
    keys: [{ name: 'conformance', secret: keySecret }],
  })
}

async function caseIds(kit: string): Promise<string[]> {
  const text = await readFile(join(kit, '../fixtures/index.json'), 'utf8')
  const index: { cases: { id: string; provider: string; api: string }[] } = JSON.parse(text)
  const names = new Set(providers('').map(({ name }) => name))
  return index.cases.filter(({ provider, api }) => names.has(provider) && apis.includes(api)).map(({ id }) => id)
}

function start(parameters: string[], logFile: string, environment: Record<string, string> = {}): ChildProcess {
  const log = openSync(logFile, 'a')
  try {
    // Only what is named here: a DATABASE_URL or a provider's key around us is none of this run's business.
    const { PATH, HOME } = process.env
    return spawn(process.execPath, parameters, {
      cwd: root,
      env: { PATH, HOME, ...environment },
      stdio: ['ignore', log, log],
    })
  } finally {
    closeSync(log)
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (!isRunning(child)) return
  const closed = once(child, 'close')
  child.kill('SIGTERM')
  const isClosed = await Promise.race([closed.then(() => true), delay(stopMsMax, false, { ref: false })])
  if (isClosed) return
  child.kill('SIGKILL')
  await closed
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}

async function answers(url: string, child: ChildProcess, interrupted: AbortSignal): Promise<void> {
  const signal = AbortSignal.any([interrupted, AbortSignal.timeout(startMsMax)])
  while (isRunning(child)) {
    const response = await fetch(url, { signal }).catch(() => undefined)
    if (response?.ok) return
    await delay(100, undefined, { signal })
  }
  throw new Error(`${child.spawnargs.join(' ')} stopped before it answered at ${url}.`)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('No TCP port was given.')
  return address.port
}
