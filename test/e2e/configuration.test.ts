import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { chat, configFor, environmentFor, testSecret, upstreamKey } from '../support/gateway-calls.ts'
import { type GatewayHome, makeGatewayHome } from '../support/gateway-home.ts'
import { type GatewayProcess, llmgw, spawnGateway, startGateway } from '../support/gateway-process.ts'
import { respondWithCompletion, type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'

// Processes take their time on a busy machine; nothing here waits longer than it must.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 })

const reloaded = 'Configuration reloaded.'
const notReloaded = 'Configuration not reloaded; the one in force stays.'

let upstream: ScriptedUpstream
let database: TestDatabase
let home: GatewayHome
beforeAll(async () => {
  upstream = await startScriptedUpstream()
  database = await createTestDatabase()
  home = await makeGatewayHome()
})
afterAll(async () => {
  await upstream.close()
  await database.drop()
  await home[Symbol.asyncDispose]()
})

const environment = () => ({ ...environmentFor(home), DATABASE_URL: database.url })

/** What a second gateway on the same database must be given. */
const secretsIn = async ({ dataDir }: GatewayHome): Promise<Record<'master-key' | 'key-pepper', string>> => ({
  'master-key': (await readFile(path.join(dataDir, 'secrets/master-key'), 'utf8')).trim(),
  'key-pepper': (await readFile(path.join(dataDir, 'secrets/key-pepper'), 'utf8')).trim(),
})

const aliasTo = (model: string, name = 'smart') => ({ aliases: [{ name, targets: [{ provider: 'openai', model }] }] })

/** Sends SIGHUP and waits for what the gateway says about it. */
async function reload(gateway: GatewayProcess): Promise<Record<string, unknown>> {
  const before = gateway.log.length
  gateway.signal('SIGHUP')
  return gateway.logged((line) => gateway.log.indexOf(line) >= before && [reloaded, notReloaded].includes(line.msg))
}

test('everything wrong with environment and file is told at once, no secret with it, and the exit code is 78', async () => {
  await using broken = await makeGatewayHome()
  await broken.configure({
    providers: [
      { name: 'openai', type: 'openai', baseUrl: 'http://insecure.example', credentials: { apiKey: upstreamKey } },
    ],
    aliases: [{ name: 'smart', targets: [{ provider: 'opnai', model: 'x' }] }],
    keys: [{ name: 'short', secret: 'hunter2' }],
    budgetz: [],
  })
  const env = {
    LLMGW_CONFIG: broken.configPath,
    LLMGW_PORT: 'eighty',
    LLMGW_MASTER_KEY: 'no-32-bytes-of-master-key',
    LLMGW_DATADIR: '/elsewhere',
    DATABASE_URL: 'mysql://root:s3cret-password@db/x',
  }
  const places = [
    ...['LLMGW_PORT', 'LLMGW_MASTER_KEY', 'LLMGW_DATADIR', 'DATABASE_URL'],
    ...['providers[0].baseUrl', 'aliases[0].targets[0].provider', 'keys[0].secret', 'budgetz'],
  ]
  const runs = await Promise.all([
    (async () => {
      await using gateway = spawnGateway({ home: broken, env })
      const { code } = await gateway.exit
      return { code, stdout: gateway.output.join('\n'), stderr: gateway.stderr }
    })(),
    llmgw(broken, ['keys', 'list'], { env }),
  ])
  for (const { code, stdout, stderr } of runs) {
    expect(code).toBe(78)
    expect(stdout).toBe('')
    const told = stderr.trim().split('\n')
    expect(told[0]).toBe(`The configuration has ${places.length} problems:`)
    expect(
      told
        .slice(1)
        .map((line) => line.trim().split(': ')[0])
        .sort(),
    ).toEqual(places.sort())
    expect(stderr).toContain('did you mean LLMGW_DATA_DIR?')
    for (const secret of [upstreamKey, 'hunter2', 'no-32-bytes', 's3cret-password'])
      expect(stderr).not.toContain(secret)
  }
})

describe('SIGHUP', () => {
  let gateway: GatewayProcess
  beforeAll(async () => {
    await home.configure(configFor(upstream))
    gateway = await startGateway({ home, env: environment() })
  })
  afterAll(() => gateway?.[Symbol.asyncDispose]())

  test('puts a good file in force: its new alias is answered', async () => {
    expect((await chat(gateway, { model: 'smart' })).status).toBe(404)
    await home.configure(configFor(upstream, aliasTo('test-model')))
    expect(await reload(gateway)).toMatchObject({ msg: reloaded })
    expect((await chat(gateway, { model: 'smart' })).status).toBe(200)
  })

  test('leaves the configuration in force when the file is invalid, and says what is wrong with it', async () => {
    await home.configure({ ...configFor(upstream), aliases: 'smart', keys: [{ name: 'leaky', secret: 'hunter2' }] })
    const { problems } = await reload(gateway)
    expect(problems).toContain('aliases: expected a list, found text')
    expect(problems).toContain('keys[0].secret: ')
    expect(problems).not.toContain('hunter2')
    expect((await chat(gateway, { model: 'smart' })).status).toBe(200)
  })

  test('leaves it in force when routing has no use for the file, and the next start finds no trace of it', async () => {
    await home.configure(configFor(upstream, aliasTo('no-such-model', 'clever')))
    const { problems } = await reload(gateway)
    expect(problems).toMatch(/aliases\.clever: .*does not know the model "no-such-model"/)
    expect((await chat(gateway, { model: 'smart' })).status).toBe(200)
    expect((await chat(gateway, { model: 'clever' })).status).toBe(404)
    await gateway.stop()

    await using refused = spawnGateway({ home, env: environment() })
    expect(await refused.exit).toMatchObject({ code: 78 })
    expect(refused.stderr).toMatch(/cannot be put in force:\n {2}aliases\.clever: /)

    await home.configure(configFor(upstream, aliasTo('test-model')))
    gateway = await startGateway({ home, env: environment() })
    expect((await chat(gateway, { model: 'smart' })).status).toBe(200)
    expect((await chat(gateway, { model: 'clever' })).status).toBe(404)
  })

  test('is not needed for a secret in a file, which is used when it is renewed', async () => {
    const keyFile = path.join(home.path, 'upstream-key')
    await writeFile(keyFile, 'sk-e2e-first-key\n')
    const credentials = { apiKey: { fromFile: keyFile } }
    const providers = [{ name: 'openai', type: 'openai', baseUrl: upstream.baseUrl, credentials }]
    await home.configure(configFor(upstream, { providers, ...aliasTo('test-model') }))
    expect(await reload(gateway)).toMatchObject({ msg: reloaded })
    const keyInUse = async () => {
      expect((await chat(gateway, { model: 'smart' })).status).toBe(200)
      return upstream.requests.at(-1)?.headers.authorization
    }
    expect(await keyInUse()).toBe('Bearer sk-e2e-first-key')
    await writeFile(keyFile, 'sk-e2e-second-key\n')
    await expect.poll(keyInUse, { timeout: 30_000, interval: 200 }).toBe('Bearer sk-e2e-second-key')
  })

  test('that comes while the gateway drains is no reason to die', async () => {
    // A call under way keeps it draining: a process past its end has no ear for signals any more.
    const signalled = Promise.withResolvers<void>()
    upstream.answer(async (response, request) => {
      await signalled.promise
      respondWithCompletion(response, request)
    })
    const answer = chat(gateway, { model: 'smart' })
    await upstream.seen(upstream.requests.length + 1)
    gateway.signal('SIGTERM')
    await gateway.logged('draining')
    gateway.signal('SIGHUP')
    signalled.resolve()
    expect((await answer).status).toBe(200)
    upstream.answer((response, request) => respondWithCompletion(response, request))
    expect(await gateway.exit).toEqual({ code: 0, signal: null })
  })
})

describe('a key that the file declares without a secret', () => {
  const secretOf = (name: string, { stderr }: GatewayProcess): string | undefined =>
    new RegExp(`The key "${name}" was declared without a secret.*\\n +(llmgw_\\w+)`).exec(stderr)?.[1]
  const declaring = (...names: string[]) =>
    configFor(upstream, { keys: [{ name: 'tester', secret: testSecret }, ...names.map((name) => ({ name }))] })

  test('is printed when it is made, by a start or a reload, works, and is never printed again', async () => {
    await home.configure(declaring('made-by-start'))
    await using first = await startGateway({ home, env: environment() })
    const secret = secretOf('made-by-start', first)
    expect((await chat(first, { secret: secret ?? '' })).status).toBe(200)

    await home.configure(declaring('made-by-start', 'made-by-reload'))
    expect(await reload(first)).toMatchObject({ msg: reloaded })
    const another = secretOf('made-by-reload', first)
    expect((await chat(first, { secret: another ?? '' })).status).toBe(200)
    await first.stop()

    await using second = await startGateway({ home, env: environment() })
    expect(second.stderr).not.toContain('llmgw_')
    for (const known of [secret, another]) expect((await chat(second, { secret: known ?? '' })).status).toBe(200)
    for (const line of [...first.output, ...second.output]) expect(line).not.toMatch(/llmgw_\w{40}/)
  })

  test('is printed although the start that made it fails later', async () => {
    const blocker = createServer().listen(0, '127.0.0.1')
    await once(blocker, 'listening')
    const { port } = blocker.address() as AddressInfo
    await using other = await makeGatewayHome()
    await other.configure(declaring('made-in-vain'))
    const { 'master-key': LLMGW_MASTER_KEY, 'key-pepper': LLMGW_KEY_PEPPER } = await secretsIn(home)
    const env = { ...environment(), ...environmentFor(other), LLMGW_MASTER_KEY, LLMGW_KEY_PEPPER }
    await using failing = spawnGateway({ home: other, env: { ...env, LLMGW_PORT: String(port) } })
    expect(await failing.exit).toMatchObject({ code: 78 })
    expect(failing.stderr).toContain('LLMGW_PORT is in use')
    blocker.close()
    const secret = secretOf('made-in-vain', failing)
    await using again = await startGateway({ home: other, env })
    expect((await chat(again, { secret: secret ?? '' })).status).toBe(200)
  })
})

test.each([
  ['master key', 'LLMGW_MASTER_KEY', 'master-key'],
  ['key pepper', 'LLMGW_KEY_PEPPER', 'key-pepper'],
])('another %s than the database was used with is refused with exit code 78', async (_name, variable, secret) => {
  const given = randomBytes(32).toString('base64')
  await using gateway = spawnGateway({ home, env: { ...environment(), [variable]: given } })
  expect(await gateway.exit).toEqual({ code: 78, signal: null })
  expect(gateway.stderr).toContain(`This database was used with another ${secret}.`)
  expect(gateway.stderr + gateway.output.join('\n')).not.toContain(given)
})
