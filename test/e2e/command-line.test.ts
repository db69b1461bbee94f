import { chmod, readdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { chat } from '../support/gateway-calls.ts'
import { freePort, type GatewayHome, makeGatewayHome } from '../support/gateway-home.ts'
import { llmgw, startGateway } from '../support/gateway-process.ts'

// Processes take their time on a busy machine; nothing here waits longer than it must.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 })

const asRoot = process.geteuid?.() === 0
const nobody = { uid: 65534, gid: 65534 }
const secretForm = /llmgw_\w{49}/

let database: TestDatabase
let home: GatewayHome
beforeAll(async () => {
  database = await createTestDatabase()
  home = await makeGatewayHome()
})
afterAll(async () => {
  await database.drop()
  await home[Symbol.asyncDispose]()
})

/** On a database of the operator's, so that commands can run side by side. */
const withDatabaseUrl = (...words: string[]) => llmgw(home, words, { env: { DATABASE_URL: database.url } })

describe('with the built-in database', () => {
  let builtIn: GatewayHome
  beforeAll(async () => {
    builtIn = await makeGatewayHome()
  })
  afterAll(() => builtIn[Symbol.asyncDispose]())

  test('doctor looks at a folder that is not there yet, and does not make it', async () => {
    const looked = await llmgw(builtIn, ['doctor'])
    expect(looked.code).toBe(0)
    expect(looked.stdout).toContain('is not there yet; a start makes it.')
    expect(await readdir(builtIn.path)).toEqual([])
  })

  test('keys are made and listed before the first start, and nothing is left running', async () => {
    const created = await llmgw(builtIn, ['keys', 'create', '--name', 'made-before', '--tag', 'team=payments'])
    expect(created).toMatchObject({ code: 0, stderr: '' })
    expect(created.stdout).toMatch(
      /^Created the key "made-before" \(\S+\)\.\n\n {2}llmgw_\w{49}\n\nThis is the only time/,
    )
    expect(await builtIn.postgresPid()).toBeUndefined()
    const listed = await llmgw(builtIn, ['keys', 'list'])
    expect(listed.code).toBe(0)
    expect(listed.stdout).toMatch(/^ID +NAME +KEY +STATE .*\n\S+ +made-before +llmgw_\S+ +active .* team=payments$/)
    expect(listed.stdout).not.toMatch(secretForm)
  })

  test('beside a running gateway a key works as soon as it is made, and no longer once it is revoked', async () => {
    await using gateway = await startGateway({ home: builtIn })
    const created = await llmgw(builtIn, ['keys', 'create', '--name', 'made-beside', '--models', 'demo/*', '--json'])
    expect(created).toMatchObject({ code: 0, stderr: '' })
    const { secret, id } = JSON.parse(created.stdout)
    expect((await chat(gateway, { model: 'demo/demo-chat', secret })).status).toBe(200)

    const listed = JSON.parse((await llmgw(builtIn, ['keys', 'list', '--json'])).stdout)
    expect(listed).toEqual([
      expect.objectContaining({ id, name: 'made-beside', state: 'active', allowedModels: ['demo/*'] }),
      expect.objectContaining({ name: 'made-before', tags: { team: 'payments' } }),
    ])

    const revoked = await llmgw(builtIn, ['keys', 'revoke', 'made-beside'])
    expect(revoked).toMatchObject({ code: 0, stdout: expect.stringContaining('within 5 seconds') })
    const refusal = async () => (await chat(gateway, { model: 'demo/demo-chat', secret })).text()
    await expect.poll(refusal, { timeout: 20_000, interval: 100 }).toContain('"code":"key_revoked"')
    await gateway.stop()
  })

  test('doctor finds all well after a start, and points out what others can read', async () => {
    const looked = await llmgw(builtIn, ['doctor'])
    expect(looked.stdout).toMatch(/^ok {4}The configuration is valid\./)
    expect(looked.stdout).toMatch(/^ok {4}The secrets are those this database was used with\.$/m)
    expect(looked.stdout).toMatch(/^ok {4}\d{3,} prices are known/m)
    expect(looked.stdout).toMatch(/\nAll is well\.$/)
    expect(looked.code).toBe(0)

    const secret = path.join(builtIn.dataDir, 'secrets/master-key')
    await chmod(secret, 0o644)
    const { stdout } = await llmgw(builtIn, ['doctor'])
    expect(stdout).toContain(`warn  The secret ${secret} can be read by others.\n      Run: chmod 600 ${secret}`)
  })

  test('doctor names a folder that the user may not write to', async ({ skip }) => {
    if (!asRoot) skip('only root can run it as somebody else')
    const looked = await llmgw(builtIn, ['doctor'], { ...nobody, cwd: '/' })
    expect(looked.stdout).toMatch(/^WRONG The data folder \S+ cannot be written to\.\n {6}Change its owner/m)
    expect(looked.code).toBe(1)
  })
})

describe.concurrent('doctor', () => {
  test('lists what is wrong with the configuration', async ({ expect }) => {
    const looked = await llmgw(home, ['doctor'], { env: { LLMGW_PORT: 'eighty', LLMGW_OPSPORT: '1' } })
    expect(looked.stdout).toMatch(/^WRONG LLMGW_PORT: expected a whole number from 0 to 65535\.$/m)
    expect(looked.stdout).toMatch(/^WRONG LLMGW_OPSPORT: is not a known variable; did you mean LLMGW_OPS_PORT\?/m)
    expect(looked.stdout).toMatch(/\n2 problems have to be mended\.$/)
    expect(looked.code).toBe(1)
  })

  test('says that the database does not answer, and not with what password it was asked', async ({ expect }) => {
    const env = { DATABASE_URL: `postgres://llmgw:s3cret-password@localhost:${await freePort()}/gateway` }
    const looked = await llmgw(home, ['doctor'], { env })
    expect(looked.stdout).toMatch(/^WRONG The database does not answer: .*ECONNREFUSED.*\n {6}Check DATABASE_URL/m)
    expect(looked.code).toBe(1)
    const listed = await llmgw(home, ['keys', 'list'], { env })
    expect(listed).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/^connect ECONNREFUSED \S+/) })
    for (const said of [looked.stdout, looked.stderr, listed.stderr]) {
      expect(said).not.toContain('s3cret-password')
      expect(said).not.toMatch(/\n {4}at /)
    }
  })
})

test('what is mistyped is answered with a sentence on standard error, no stack, and exit code 1', async () => {
  await withDatabaseUrl('keys', 'list') // makes the secrets that the others share
  const cases: [words: string[], sentence: RegExp][] = [
    [['frobnicate'], /unknown command 'frobnicate'/],
    [['keys', 'create'], /required option '--name <name>' not specified/],
    [['keys', 'create', '--name', 'x', '--expires', 'soon'], /^"soon" is no expiry\. Use a span/],
    [['keys', 'create', '--name', 'x', '--organization', 'nobodys'], /^There is no such organization\./],
    [['keys', 'revoke', 'nobodys'], /^There is no key "nobodys"\. List them with: llmgw keys list/],
    [
      ['usage', 'rebuild', '--from', 'yesterday'],
      /option '--from <date>' argument 'yesterday' is invalid. Expected a date/,
    ],
    [
      ['usage', 'rerate', '--from', '2026-11-01', '--to', '2026-12-01'],
      /required option '--model <name>' not specified/,
    ],
    [['migrate', '--down-to', 'nowhere'], /^There is no migration "nowhere" to go back to\. There are: \d+_/],
  ]
  const runs = cases.map(async ([words, sentence]) => ({ words, sentence, ...(await withDatabaseUrl(...words)) }))
  for (const { words, sentence, code, stdout, stderr } of await Promise.all(runs)) {
    expect({ words, code, stdout }).toEqual({ words, code: 1, stdout: '' })
    expect(stderr).toMatch(sentence)
    expect(stderr).not.toMatch(/\n {4}at /)
  }
  expect((await withDatabaseUrl('migrate')).stdout).toBe('There is nothing to do.')
})

test('--help names every command', async () => {
  const { code, stdout } = await llmgw(home, ['--help'])
  expect(code).toBe(0)
  for (const name of ['start', 'migrate', 'keys', 'limits', 'budgets', 'catalog', 'usage', 'doctor'])
    expect(stdout).toMatch(new RegExp(`^ +${name} `, 'm'))
  expect(stdout).not.toContain('undefined')
})

test("catalog sync reads LiteLLM's list from a file, says what was added and skipped, and is idle the second time", async () => {
  const file = path.join(home.path, 'prices.json')
  const model = { litellm_provider: 'openai', mode: 'chat', max_input_tokens: 128_000, max_output_tokens: 4_096 }
  await writeFile(
    file,
    JSON.stringify({
      sample_spec: { litellm_provider: 'one of', mode: 'one of' },
      'e2e-model-one': { ...model, input_cost_per_token: 1e-6, output_cost_per_token: 2e-6 },
      'e2e-model-two': { ...model, input_cost_per_token: 3e-6, output_cost_per_token: 4e-6 },
      'e2e-odd': { ...model, input_cost_per_token: 'cheap' },
    }),
  )
  const first = await withDatabaseUrl('catalog', 'sync', '--from', file)
  expect(first).toMatchObject({ code: 0, stderr: '' })
  expect(first.stdout).toMatch(/^The catalog was synced: \d+ added, 0 changed/)
  for (const added of ['e2e-model-one', 'e2e-model-two']) expect(first.stdout).toContain(added)
  const second = await withDatabaseUrl('catalog', 'sync', '--from', file, '--json')
  expect(second.code).toBe(0)
  expect(['current', 'succeeded']).toContain(JSON.parse(second.stdout).status)
  const { rows } = await database.pools.admin.query(
    `select count(*)::integer as n from models where name like 'e2e-model%'`,
  )
  expect(rows).toEqual([{ n: 2 }])

  const missing = await withDatabaseUrl('catalog', 'sync', '--from', path.join(home.path, 'nothing.json'))
  expect(missing.code).toBe(1)
  expect(missing.stdout + missing.stderr).toMatch(/The catalog was not synced: .*nothing\.json/)
})

test('usage is rerated at another price, dry-run first, and its rollups are found right and mended', async () => {
  const own = await createTestDatabase()
  const usage = (...words: string[]) => llmgw(home, ['usage', ...words], { env: { DATABASE_URL: own.url } })
  const seeded = await llmgw(home, ['seed', '--calls', '400', '--days', '3'], { env: { DATABASE_URL: own.url } })
  expect(seeded.code).toBe(0)
  const { rows } = await own.pools.admin.query(
    `select model, min(price_version::text) as price_version, count(*)::int as calls from usage_attempts
     where billing in ('billed', 'estimated') group by 1 order by 3 desc limit 1`,
  )
  const [{ model, price_version, calls }] = rows
  const price = '0193591c-7d5c-7abc-8def-0123456789ff'
  const rates = {
    tables: [{ serviceTier: 'default', aboveInputTokens: 0, rates: { input: '1000000', output: '1000000' } }],
  }
  await own.pools.admin.query(
    `insert into model_prices (id, model_id, version, source, rates, effective_from)
     select $1, p.model_id, 99, 'admin', $3, now() from model_prices p where p.id = $2`,
    [price, price_version, rates],
  )
  const range = ['--from', '2020-01-01', '--to', '2100-01-01', '--model', model, '--price-version', price]
  const looked = await usage('rerate', ...range, '--json')
  const { rows: tokens } = await own.pools.admin.query(
    `select sum(unit.count::bigint)::text as count from usage_attempts a
     cross join lateral jsonb_each_text(a.units) as unit (kind, count)
     where a.model = $1 and unit.kind <> 'request' and a.billing in ('billed', 'estimated')`,
    [model],
  )
  // A nano-dollar for each token.
  expect(JSON.parse(looked.stdout)).toMatchObject({ calls, changed: calls, newNano: tokens[0].count })
  expect((await usage('rerate', ...range, '--apply')).stdout).toContain(`${calls} were changed`)

  await own.pools.admin.query('update usage_daily set requests = requests + 1')
  expect(await usage('rebuild', '--dry-run')).toMatchObject({ code: 1, stdout: expect.stringContaining('usage_daily') })
  expect(await usage('rebuild')).toMatchObject({ code: 0, stdout: expect.stringContaining('are right now.') })
  await own.drop()
})

test('migrate brings the schema up, and takes it back down as far as it is told', async () => {
  const empty = await createTestDatabase({ empty: true })
  const migrate = (...words: string[]) => llmgw(home, ['migrate', ...words], { env: { DATABASE_URL: empty.url } })
  const up = await migrate()
  expect(up).toMatchObject({ code: 0, stderr: '' })
  const names = up.stdout.split('\n').map((line) => /^ran (\d+_\w+)$/.exec(line)?.[1] ?? line)
  expect(names.length).toBeGreaterThanOrEqual(4)
  const [kept, ...undone] = names
  expect((await migrate('--down-to', kept ?? '')).stdout).toBe(
    undone
      .reverse()
      .map((name) => `undid ${name}`)
      .join('\n'),
  )
  expect((await migrate('--down-to', 'nothing')).stdout).toBe(`undid ${kept}`)
  await empty.drop()
})
