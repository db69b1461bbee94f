import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'
import { needsRedisServer, type RedisServer, startRedisServer } from '../support/redis-server.ts'

needsRedisServer()
let redis: RedisServer
beforeAll(async () => {
  redis = await startRedisServer()
})
afterAll(() => redis?.close())

const open = (beside?: TestGateway) =>
  openTestGateway({ environment: { REDIS_URL: redis.url }, ...(beside && { beside }) })

let gateway: TestGateway
beforeEach(async () => {
  gateway = await open()
  const providerId = randomUUID()
  const aliasId = randomUUID()
  await gateway.pool.query(
    `insert into providers (id, name, type, base_url, passthrough_models, managed_by)
     values ($1, 'theirs', 'openai-compatible', $2, true, 'admin')`,
    [providerId, gateway.upstream.baseUrl],
  )
  await gateway.pool.query(`insert into model_aliases (id, name, managed_by) values ($1, 'admins-choice', 'admin')`, [
    aliasId,
  ])
  await gateway.pool.query(
    `insert into alias_targets (id, alias_id, provider_id, model, priority, weight) values ($1, $2, $3, 'm', 0, 1)`,
    [randomUUID(), aliasId, providerId],
  )
  await newVersion()
  await gateway.forgetHealth()
  expect(await providerAt(gateway)).toBe('theirs')
})
afterEach(() => gateway?.close())

const newVersion = () =>
  gateway.pool.query(`insert into config_versions (source, status, content_hash) values ('admin', 'active', $1)`, [
    randomUUID(),
  ])

/** Not the status, for some provider may well pass on a name that nobody has given to a model. */
const providerAt = async (at: TestGateway, model = 'admins-choice'): Promise<string | null> => {
  const response = await at.chat({ model })
  await response.arrayBuffer()
  return response.headers.get('x-llmgw-provider')
}

const linesOf = ({ logLines }: TestGateway, words: string) => logLines.filter(({ message }) => message.includes(words))

async function rename(from: string, to: string): Promise<void> {
  await gateway.pool.query('update providers set name = $2 where name = $1', [from, to])
  await newVersion()
}

test('a replica that starts while a change of an administrator is no good serves what the others serve', async () => {
  await rename('theirs', 'not/a/name')
  await gateway.forgetHealth()
  expect(linesOf(gateway, 'routing is rejected')).not.toEqual([])
  expect(await providerAt(gateway)).toBe('theirs')

  await using late = await open(gateway)
  expect(linesOf(late, 'the last good one is in force')).toMatchObject([
    {
      fields: {
        problems: [{ path: 'providers.not/a/name', message: expect.stringContaining('The name of a provider') }],
      },
    },
  ])
  expect(await providerAt(late)).toBe('theirs')
  expect(await providerAt(late, 'theirs/m')).toBe('theirs')
  expect(await late.metric('llmgw_config_rejected')).toBe(1)

  // Put right, it is in force at both.
  await rename('not/a/name', 'ours')
  for (const replica of [gateway, late]) {
    await eventually('the change to be in force', async () => (await providerAt(replica, 'ours/m')) === 'ours')
  }
})

test('what of it does not go with the models of today is left out, and the rest is served', async () => {
  await gateway.pool.query(`update providers set passthrough_models = false where name = 'theirs'`)
  await gateway.pool.query(`update last_good_routing
    set providers = (select jsonb_agg(case when p ->> 'name' = 'theirs' then p || '{"passthroughModels": false}' else p end)
      from jsonb_array_elements(providers) p)`)
  await newVersion()
  await using late = await open(gateway)
  expect(await providerAt(late)).toBe(null)
  expect(await providerAt(late, 'smart')).toBe('openai')
})

test('what was declared for the process is put right by whoever starts it: no older one takes its place', async () => {
  await gateway.pool.query('update providers set base_url = $1 where name = $2', [gateway.spare.baseUrl, 'openai'])
  await newVersion()
  await expect(open(gateway)).rejects.toMatchObject({ reason: 'configuration_rejected' })
})
