import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createOperationLimits } from '../../src/admin/operation-limits.ts'
import { adminUrl, askAdmin, followSetupLink, memberOf, signedIn, tenantOf } from '../support/admin.ts'
import { eventually } from '../support/eventually.ts'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'

const page = 'https://console.example.com'

let gateway: TestGateway
let token: string
beforeAll(async () => {
  gateway = await openTestGateway({ environment: { LLMGW_ADMIN_ORIGINS: page } })
  await followSetupLink(gateway)
  token = await signedIn(gateway)
})
afterAll(() => gateway.close())

describe('a change with an Idempotency-Key', () => {
  const create = (key: string, slug: string) =>
    askAdmin(
      gateway,
      `mutation { organizationCreate(input: { slug: "${slug}", name: "x" }) { organization { slug } errors { __typename } } }`,
      {
        token,
        headers: { 'idempotency-key': key },
      },
    )
  const count = async (slug: string) =>
    (await gateway.pool.query('select from organizations where slug = $1', [slug])).rowCount

  test('is made once, however often and at once it is sent, and whoever asks again is told the same', async () => {
    const answers = await Promise.all(Array.from({ length: 5 }, () => create('once', 'made-once')))
    const done = answers.filter(({ data }) => data?.organizationCreate.organization)
    const others = answers.filter((answer) => !done.includes(answer))
    expect(done.length).toBeGreaterThan(0)
    for (const { status, errors } of others) {
      expect([status, errors?.[0]?.extensions.code]).toEqual([409, 'IDEMPOTENCY_IN_PROGRESS'])
    }
    expect(await count('made-once')).toBe(1)
    const again = await create('once', 'made-once')
    expect(again.headers.get('idempotent-replayed')).toBe('true')
    expect(again.data).toEqual(done[0]?.data)
    const other = await create('once', 'another')
    expect([other.status, other.errors?.[0]?.extensions.code]).toEqual([422, 'IDEMPOTENCY_KEY_REUSED'])
    expect(await count('another')).toBe(0)
  })

  test('is told again with its secret, which the database has only sealed', async () => {
    const { organizationId } = await tenantOf(gateway, token, 'with-key')
    const query = `mutation { apiKeyCreate(input: { ownerId: "${organizationId}", name: "told twice" }) { secret } }`
    const send = () => askAdmin(gateway, query, { token, headers: { 'idempotency-key': 'key' } })
    const [first, second] = [await send(), await send()]
    expect(second.data.apiKeyCreate.secret).toBe(first.data.apiKeyCreate.secret)
    const { rows } = await gateway.pool.query('select a::text from admin_answers a')
    expect(JSON.stringify(rows)).not.toContain(first.data.apiKeyCreate.secret)
    expect((await gateway.pool.query(`select from api_keys where name = 'told twice'`)).rowCount).toBe(1)
  })

  test('is not made again although its answer was lost', async () => {
    await create('crashed', 'crashed')
    await gateway.pool.query(`delete from admin_answers where key = 'crashed'`)
    const { errors } = await create('crashed', 'crashed-again')
    expect(errors?.[0]?.extensions.code).toBe('ALREADY_DONE')
    expect(await count('crashed-again')).toBe(0)
  })

  test('may be sent again when it has failed as a whole, and a refusal is an answer', async () => {
    const unknown = await askAdmin(gateway, 'mutation { everything }', {
      token,
      headers: { 'idempotency-key': 'failed' },
    })
    expect(unknown.errors).toBeDefined()
    expect((await create('failed', 'after-failure')).data.organizationCreate.organization).toEqual({
      slug: 'after-failure',
    })
    await create('refused', 'NOT A SLUG')
    const again = await create('refused', 'NOT A SLUG')
    expect(again.data.organizationCreate.errors).toEqual([{ __typename: 'InvalidInput' }])
    expect(again.headers.get('idempotent-replayed')).toBe('true')
  })

  test('of somebody else is another one', async () => {
    const other = await memberOf(gateway, token, 'other', 'ADMIN')
    await create('shared', 'shared-a')
    const answer = await askAdmin(
      gateway,
      'mutation { organizationCreate(input: { slug: "shared-b", name: "x" }) { organization { slug } } }',
      { token: other, headers: { 'idempotency-key': 'shared' } },
    )
    expect(answer.data.organizationCreate.organization).toEqual({ slug: 'shared-b' })
  })

  test('needs a key that can be one', async () => {
    const { errors } = await create('x'.repeat(201), 'never')
    expect(errors?.[0]?.extensions.code).toBe('BAD_USER_INPUT')
  })
})

describe('a page of another origin', () => {
  const preflight = (origin: string) =>
    fetch(`${adminUrl(gateway)}/graphql`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
    })

  test('of the list may ask', async () => {
    const response = await preflight(page)
    expect(response.headers.get('access-control-allow-origin')).toBe(page)
    expect(response.headers.get('access-control-allow-credentials')).toBe('true')
    expect(response.headers.get('access-control-allow-methods')).toBe('POST')
    const { headers } = await askAdmin(gateway, '{ viewer { name } }', { token, headers: { origin: page } })
    expect(headers.get('access-control-allow-origin')).toBe(page)
  })

  test.each(['https://evil.example', 'null', 'https://console.example.com.evil.example', 'http://console.example.com'])(
    'such as %s may not',
    async (origin) => {
      expect((await preflight(origin)).headers.get('access-control-allow-origin')).toBeNull()
    },
  )
})

describe('the limits of operations', () => {
  const clock = { nowMs: () => Date.now(), monotonicMs: () => performance.now() }

  test('let an asker ask so often a minute, and others all the same', async () => {
    const limits = createOperationLimits(clock, { viewerPerMinute: 3, strangerPerMinute: 2 })
    for (let times = 0; times < 3; times++) await limits.admit({ viewerId: 'a' })
    await expect(limits.admit({ viewerId: 'a' })).rejects.toMatchObject({
      extensions: { code: 'RATE_LIMITED', http: { status: 429 } },
    })
    await limits.admit({ viewerId: 'b' })
    for (let times = 0; times < 2; times++) await limits.admit({ address: '10.0.0.1' })
    await expect(limits.admit({ address: '10.0.0.1' })).rejects.toThrow('Too many operations')
    await limits.admit({ address: '10.0.0.2' })
  })

  test('give up what takes too long', async () => {
    const limits = createOperationLimits(clock, { timeoutMs: 50 })
    expect(await limits.within(Promise.resolve('in time'))).toBe('in time')
    await expect(limits.within(new Promise(() => {}))).rejects.toMatchObject({
      extensions: { code: 'OPERATION_TIMEOUT', http: { status: 504 } },
    })
  })

  test('turn strangers away over HTTP, with when to come back', async () => {
    await using crowded = await openTestGateway()
    const ask = () =>
      fetch(`${adminUrl(crowded)}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ query: '{ viewer { name } }' }),
      })
    let response = await ask()
    for (let times = 0; response.status !== 429 && times < 200; times++) response = await ask()
    expect(response.status).toBe(429)
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await response.json()).toMatchObject({ errors: [{ extensions: { code: 'RATE_LIMITED' } }] })
  })
})

test('what waits too long for the database is given up, and said to be', async () => {
  const client = await gateway.pool.connect()
  try {
    await client.query('begin')
    await client.query('lock table organizations in access exclusive mode')
    const { status, errors } = await askAdmin(gateway, '{ organizations { nodes { id } } }', { token })
    expect([status, errors?.[0]?.extensions.code]).toEqual([504, 'OPERATION_TIMEOUT'])
  } finally {
    await client.query('rollback')
    client.release()
  }
})

test('a database that is away is said to be, and comes back', async () => {
  await using broken = await openTestGateway({ breakableDatabase: true })
  await followSetupLink(broken)
  const own = await signedIn(broken)
  if (broken.postgres) broken.postgres.mode = 'down'
  const away = await askAdmin(broken, '{ organizations { nodes { id } } }', { token: own })
  expect([away.status, away.errors?.[0]?.extensions.code]).toEqual([503, 'SERVICE_UNAVAILABLE'])
  if (broken.postgres) broken.postgres.mode = 'up'
  await eventually(
    'it to be back',
    async () => (await askAdmin(broken, '{ viewer { name } }', { token: own })).data?.viewer,
  )
})
