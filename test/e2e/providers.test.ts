import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { insertProvider } from '../secrets/sealing.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { freePort, type GatewayHome, makeGatewayHome } from '../support/gateway-home.ts'
import { llmgw } from '../support/gateway-process.ts'
import { respondWithJson, type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'

// Processes take their time on a busy machine; nothing here waits longer than it must.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 })

const [first, second] = ['first', 'second'].map((name) => Buffer.alloc(32, name).toString('base64')) as [string, string]
const secret = 'sk-of-the-operator-0123456789'

let database: TestDatabase
let home: GatewayHome
let upstream: ScriptedUpstream
beforeAll(async () => {
  database = await createTestDatabase()
  home = await makeGatewayHome()
  upstream = await startScriptedUpstream()
  await insertProvider(database.pools.admin, 'stored', { baseUrl: upstream.baseUrl })
})
afterAll(async () => {
  await upstream.close()
  await database.drop()
  await home[Symbol.asyncDispose]()
})
beforeEach(() => {
  environment.LLMGW_MASTER_KEY = first
})

const environment: Record<string, string> = { LLMGW_PRIVATE_UPSTREAMS: '127.0.0.1/32' }

const run = (words: string[], { input, env = {} }: { input?: string; env?: Record<string, string> } = {}) =>
  llmgw(home, words, {
    env: { DATABASE_URL: database.url, ...environment, ...env },
    ...(input !== undefined && { input }),
  })

test('a credential is stored from the standard input, listed without its text, used by a test call, and rotated', async () => {
  const stored = await run(['providers', 'set-credential', 'stored', 'apiKey'], { input: `${secret}\n` })
  expect(stored).toMatchObject({ code: 0, stderr: '' })
  expect(stored.stdout).toContain(
    `Stored the credential apiKey of stored, for ${new URL(upstream.baseUrl).origin} only.`,
  )

  const listed = await run(['providers', 'list'])
  expect(listed.stdout).toMatch(/stored +openai +enabled +admin +http:\S+ +apiKey=…6789/)
  expect([stored, listed].map(({ stdout, stderr }) => stdout + stderr).join()).not.toContain(secret)

  const tested = await run(['providers', 'test', 'stored', '--model', 'gpt-4o-mini'])
  expect(tested).toMatchObject({ code: 0, stdout: expect.stringMatching(/^The provider stored answered in \d+ ms/) })
  expect(upstream.requests.at(-1)).toMatchObject({
    headers: { authorization: `Bearer ${secret}` },
    json: { model: 'gpt-4o-mini', max_completion_tokens: 1 },
  })

  const rotation = { LLMGW_MASTER_KEY: second, LLMGW_PREVIOUS_MASTER_KEYS: first }
  const rotated = await run(['secrets', 'rotate'], { env: rotation })
  expect(rotated).toMatchObject({ code: 0, stderr: '' })
  expect(rotated.stdout).toMatch(/1 data key rewrapped, 0 under the current key already\.\nThe key kek-\w+ is retired/)
  expect(await run(['providers', 'list'])).toMatchObject({ code: 78 })
  const again = await run(['providers', 'test', 'stored', '--model', 'm'], { env: { LLMGW_MASTER_KEY: second } })
  expect(again.code).toBe(0)
  // Back for the other tests: a master key that was retired is not taken again.
  expect(await run(['secrets', 'rotate'], { env: { LLMGW_PREVIOUS_MASTER_KEYS: second } })).toMatchObject({
    code: 78,
    stderr: expect.stringContaining('was replaced by a rotation and retired'),
  })
})

test('what cannot be stored is refused with a sentence, and without its text', async () => {
  const env = { LLMGW_MASTER_KEY: second }
  for (const [words, input, sentence] of [
    [
      ['stored', 'apikey'],
      secret,
      'apikey is no credential of a provider of type openai; expected one of apiKey, header:NAME',
    ],
    [['stored', 'apiKey'], '\n', 'There is no secret on the standard input.'],
    [['stored', 'apiKey'], 'sk with spaces', 'apiKey: expected 1 to 8192 visible ASCII characters'],
    [['nobody', 'apiKey'], secret, 'There is no provider nobody'],
  ] as const) {
    const refused = await run(['providers', 'set-credential', ...words], { input, env })
    expect(refused).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining(sentence) })
    expect(refused.stderr).not.toContain(input === '\n' ? secret : input)
  }
})

test('a test call says in plain words what is wrong', async () => {
  const env = { LLMGW_MASTER_KEY: second }
  const refusals = [
    [401, { error: { message: `wrong key ${secret}` } }, 'stored refused the credential (HTTP 401).'],
    [
      404,
      { error: { message: 'no such model', code: 'model_not_found' } },
      'stored does not know the model m (HTTP 404)',
    ],
    [429, { error: { message: 'slow down' } }, 'The credential is accepted.'],
    [500, {}, 'stored failed (HTTP 500)'],
    [200, { hello: 'world' }, 'What stored answered is not what its type of provider answers'],
  ] as const
  for (const [status, body, sentence] of refusals) {
    upstream.answer((response) => respondWithJson(response, status, body))
    const tested = await run(['providers', 'test', 'stored', '--model', 'm'], { env })
    expect(tested).toMatchObject({ code: 1, stdout: expect.stringContaining(sentence) })
    expect(tested.stdout + tested.stderr).not.toContain(secret)
  }
  const guarded = await run(['providers', 'test', 'stored', '--model', 'm'], {
    env: { ...env, LLMGW_PRIVATE_UPSTREAMS: '' },
  })
  expect(guarded.code).toBe(1)
  expect(guarded.stdout + guarded.stderr).toContain('LLMGW_PRIVATE_UPSTREAMS')

  await insertProvider(database.pools.admin, 'absent', { baseUrl: `http://127.0.0.1:${await freePort()}/v1` })
  const absent = await run(['providers', 'test', 'absent', '--model', 'm'], { env })
  expect(absent).toMatchObject({
    code: 1,
    stdout: expect.stringContaining('nothing listens there (connection refused)'),
  })
})
