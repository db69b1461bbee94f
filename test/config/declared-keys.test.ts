import { afterEach, beforeEach, expect, test } from 'vitest'
import { digestOf, generatedSecret, ids, openDeclaring } from './declaring.ts'

let apply: Declaring['apply']
let applied: Declaring['applied']
let rows: Declaring['rows']
let count: Declaring['count']
let close: Declaring['close']
type Declaring = Awaited<ReturnType<typeof openDeclaring>>

beforeEach(async () => {
  ;({ apply, applied, rows, count, close } = await openDeclaring())
})
afterEach(() => close())

test('a key without a secret gets one, told once and kept from then on', async () => {
  const result = await applied('keys: [{ name: a }]')
  expect(result.generatedKeys.map(({ name, secret }) => [name, secret.reveal()])).toEqual([['a', generatedSecret]])
  expect(JSON.stringify(result.generatedKeys)).not.toContain('generated-secret')
  const again = await applied('keys: [{ name: a, tags: { x: y } }]')
  expect(again.generatedKeys).toEqual([])
  expect(await rows('select secret_digest from api_keys')).toEqual([{ secret_digest: digestOf(generatedSecret) }])
})

test('a renamed key stays the same key, one whose secret is exchanged does, too', async () => {
  await applied(
    `keys: [{ name: a, secret: first-secret-of-twenty-chars }, { name: b, secret: second-secret-of-twenty-chars }]`,
  )
  const idOf = async (name: string): Promise<string | undefined> =>
    (await rows<{ id: string }>('select id from api_keys where name = $1 and revoked_at is null', [name]))[0]?.id
  const [a, b] = [await idOf('a'), await idOf('b')]
  await applied(
    `keys: [{ name: b, secret: first-secret-of-twenty-chars }, { name: a, secret: second-secret-of-twenty-chars }]`,
  )
  expect([await idOf('b'), await idOf('a')]).toEqual([a, b])
  await applied(
    `keys: [{ name: b, secret: third-secret-of-twenty-chars }, { name: a, secret: second-secret-of-twenty-chars }]`,
  )
  expect([await idOf('b'), await idOf('a')]).toEqual([a, b])
  expect(await rows('select secret_digest from api_keys where id = $1', [a])).toEqual([
    { secret_digest: digestOf('third-secret-of-twenty-chars') },
  ])
  expect(await rows(`select action from audit_events where subject_id = $1 order by created_at`, [a])).toEqual([
    { action: 'key.create' },
    { action: 'key.update' },
    { action: 'key.rotate' },
  ])
})

test('a key that an administrator revoked stays revoked, until it gets another secret', async () => {
  const secret = 'first-secret-of-twenty-chars'
  await applied(`keys: [{ name: a, secret: ${secret} }]`)
  await rows('update api_keys set revoked_at = clock_timestamp()')
  const result = await applied(`keys: [{ name: a, secret: ${secret}, tags: { x: y } }]`)
  expect(result.warnings).toMatchObject([{ path: 'keys[a]', message: expect.stringContaining('stays so') }])
  expect(await rows('select revoked_at is not null as revoked from api_keys')).toEqual([{ revoked: true }])
  await applied(`keys: [{ name: a, secret: second-secret-of-twenty-chars }]`)
  expect(
    await rows('select secret_digest, revoked_at is not null as revoked from api_keys order by created_at, id'),
  ).toEqual([
    { secret_digest: digestOf(secret), revoked: true },
    { secret_digest: digestOf('second-secret-of-twenty-chars'), revoked: false },
  ])
})

test("what the file once revoked and brought back is still an administrator's to revoke, under whatever name", async () => {
  const key = (name: string, tags = '{}') =>
    `keys: [{ name: ${name}, secret: first-secret-of-twenty-chars, tags: ${tags} }]`
  await applied(key('a'))
  await applied('')
  await applied(key('a'))
  await rows('update api_keys set revoked_at = clock_timestamp()')
  await applied(key('a', '{ x: y }'))
  expect((await applied(key('b'))).warnings).toMatchObject([{ path: 'keys[b]' }])
  expect(await rows('select name, revoked_at is not null as revoked from api_keys')).toEqual([
    { name: 'a', revoked: true },
  ])
})

test('the secret of a key that was made elsewhere is refused', async () => {
  await applied('')
  await rows(
    `insert into api_keys (id, organization_id, name, secret_digest, pepper_id, display_prefix, last4, managed_by)
     select $1, o.id, 'other', $2, 'test', '', '', 'operator' from organizations o`,
    [ids(1), digestOf('first-secret-of-twenty-chars')],
  )
  expect(await apply('keys: [{ name: a, secret: first-secret-of-twenty-chars }]')).toMatchObject({
    ok: false,
    problems: [{ path: 'keys[a].secret' }],
  })
  expect(await count('api_keys')).toBe(1)
})

test('a budget keeps its id, and so its spend, while its amount and mode change', async () => {
  const key = (budgets: string) => `keys: [{ name: a, secret: first-secret-of-twenty-chars, budgets: [${budgets}] }]`
  await applied(key('{ amountUsd: 1, period: month }, { amountUsd: 1, period: day }'))
  const [before] = await rows<{ id: string }>(`select id from budgets where period = 'month'`)
  await applied(key('{ amountUsd: 2, period: month, mode: soft }, { amountUsd: 9, period: week }'))
  expect(await rows('select period, amount_nano, mode from budgets order by period')).toEqual([
    { period: 'month', amount_nano: '2000000000', mode: 'soft' },
    { period: 'week', amount_nano: '9000000000', mode: 'hard' },
  ])
  expect(await rows(`select id from budgets where period = 'month'`)).toEqual([before])
})
