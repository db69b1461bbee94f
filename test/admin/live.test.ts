import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { tellGateways } from '../../src/cli/tell-gateways.ts'
import { Secret } from '../../src/core/secret.ts'
import { askAdmin, followSetupLink, keyIn, memberOf, signedIn, tenantOf } from '../support/admin.ts'
import { subscribe, subscriptionUrl } from '../support/admin-subscription.ts'
import { eventually } from '../support/eventually.ts'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'
import { needsRedisServer, type RedisServer, startRedisServer } from '../support/redis-server.ts'
import { redisServerBinary } from '../support/redis-server-binary.ts'
import { respondWithCompletion, usageOf } from '../support/scripted-upstream.ts'

/** Two replicas: what one of them sees happen, a subscriber of the other is told. */
needsRedisServer()

let redis: RedisServer
let gateway: TestGateway
let other: TestGateway
let root: string
let acme: { organizationId: string; teamId: string }
let globex: { organizationId: string; teamId: string }
let viewerOfAcme: string
let key: { id: string; secret: string }
let foreignKey: { id: string; secret: string }
const opened = new AsyncDisposableStack()
beforeAll(async () => {
  if (redisServerBinary() === undefined) return
  redis = opened.use(await startRedisServer())
  const environment = { REDIS_URL: redis.url }
  gateway = opened.use(await openTestGateway({ environment }))
  other = opened.use(await openTestGateway({ environment, beside: gateway }))
  await followSetupLink(gateway)
  root = await signedIn(gateway)
  acme = await tenantOf(gateway, root, 'acme')
  globex = await tenantOf(gateway, root, 'globex')
  viewerOfAcme = await memberOf(gateway, root, 'acme-viewer', 'VIEWER', acme.organizationId)
  key = await keyIn(gateway, root, acme.teamId, 'of acme')
  foreignKey = await keyIn(gateway, root, globex.teamId, 'of globex')
})
afterAll(() => opened.disposeAsync())
beforeEach(() =>
  gateway.upstream.answer((response, request) => respondWithCompletion(response, request, { usage: usageOf(10, 20) })),
)

/** Long enough for a subscription to have begun. */
const begun = () => new Promise((resolve) => setTimeout(resolve, 700))

const call = async (secret: string, body: object = {}) => {
  const response = await gateway.chat({ model: 'round-numbers', ...body }, { key: secret })
  await response.arrayBuffer()
  return response.headers.get('x-request-id') ?? ''
}

test('usageRecorded tells of each call of whoever may see it, on whichever replica', async () => {
  const query = (filter = '') =>
    `subscription { usageRecorded${filter} { requestId cost { nanoUsd } apiKey { name } } }`
  const all = subscribe(other, root, query())
  const own = subscribe(other, viewerOfAcme, query())
  const dear = subscribe(other, root, query('(filter: { costAtLeastNanoUsd: "1000000000" })'))
  await begun()
  const ids = await Promise.all([call(key.secret), call(foreignKey.secret), call(key.secret)])
  await eventually('all to be told', () => all.events.length === 3 && own.events.length === 2)
  expect(all.events.map(({ requestId }) => requestId).sort()).toEqual([...ids].sort())
  expect(own.events.map(({ requestId }) => requestId).sort()).toEqual([ids[0], ids[2]].sort())
  expect(own.events[0]).toMatchObject({ cost: { nanoUsd: '90000' }, apiKey: { name: 'of acme' } })
  expect(dear.events).toEqual([])
  await Promise.all([all, own, dear].map((each) => each.close()))
})

test('budgetChanged tells how a budget stands whenever it stands otherwise', async () => {
  const made = await askAdmin(
    gateway,
    `mutation { budgetCreate(input: { ownerId: "${key.id}", period: MONTH, amountNanoUsd: "5000000000" }) { budget { id } } }`,
    { token: root },
  )
  const { id } = made.data.budgetCreate.budget
  const fields = '{ id committed { nanoUsd } amount { usd } }'
  const own = subscribe(other, viewerOfAcme, `subscription { budgetChanged ${fields} }`)
  const one = subscribe(other, viewerOfAcme, `subscription { budgetChanged(budgetId: "${id}") ${fields} }`)
  const stranger = await memberOf(gateway, root, 'globex-viewer', 'VIEWER', globex.organizationId)
  const foreign = subscribe(other, stranger, `subscription { budgetChanged ${fields} }`)
  const hidden = subscribe(other, stranger, `subscription { budgetChanged(budgetId: "${id}") ${fields} }`)
  expect(JSON.stringify(await hidden.failure)).toContain('no such budget')
  await new Promise((resolve) => setTimeout(resolve, 2_500))
  await eventually('the budget to count', async () => {
    await call(key.secret)
    return own.events.some(({ committed }) => committed.nanoUsd !== '0')
  })
  await askAdmin(
    gateway,
    `mutation { budgetUpdate(input: { budgetId: "${id}", amountNanoUsd: "7000000000" }) { budget { id } } }`,
    { token: root },
  )
  await eventually(
    'the new amount',
    () => own.events.at(-1)?.amount.usd === '7' && one.events.at(-1)?.amount.usd === '7',
  )
  expect(foreign.events).toEqual([])
  await Promise.all([own, one, foreign, hidden].map((each) => each.close()))
})

test('auditEventAdded and configChanged tell what administrators do, to whoever may see it', async () => {
  const audit = subscribe(other, root, 'subscription { auditEventAdded { action subjectId organization { slug } } }')
  const own = subscribe(other, viewerOfAcme, 'subscription { auditEventAdded { action organization { slug } } }')
  const versions = subscribe(other, root, 'subscription { configChanged { version source status } }')
  const forbidden = subscribe(other, viewerOfAcme, 'subscription { configChanged { version } }')
  expect(JSON.stringify(await forbidden.failure)).toContain('FORBIDDEN')
  await begun()
  await keyIn(gateway, root, acme.teamId, 'told of')
  await keyIn(gateway, root, globex.teamId, 'told to others')
  await askAdmin(
    gateway,
    'mutation { providerCreate(input: { name: "live", type: OPENAI_COMPATIBLE, baseUrl: "https://example.com" }) { errors { __typename } } }',
    { token: root },
  )
  await eventually('all to be told', () => audit.events.length >= 3 && versions.events.length === 1)
  expect(audit.events.map(({ action }) => action)).toEqual(['key.create', 'key.create', 'provider.create'])
  expect(own.events).toEqual([{ action: 'key.create', organization: { slug: 'acme' } }])
  expect(versions.events).toMatchObject([{ source: 'ADMIN', status: 'ACTIVE' }])
  await Promise.all([audit, own, versions, forbidden].map((each) => each.close()))
})

test('providerHealthChanged tells what another replica has learned', async () => {
  const watched = subscribe(
    other,
    root,
    'subscription { providerHealthChanged { replica provider { name } health { process credentialAccepted modelsInTrouble { model circuit } } } }',
  )
  await begun()
  gateway.upstream.answer((response) => void response.writeHead(503).end())
  const event = await eventually('the circuit to open', async () => {
    await call(gateway.keySecret)
    return watched.events.find(({ health }) => health.modelsInTrouble[0]?.circuit === 'open')
  })
  expect(event).toMatchObject({
    provider: { name: 'openai' },
    health: { process: 'main', credentialAccepted: true, modelsInTrouble: [{ model: 'round-numbers' }] },
  })
  expect(event.replica).toEqual(expect.any(String))
  await watched.close()
  await gateway.forgetHealth()
})

test('a subscriber that reads nothing is closed, and the others are told all the same', async () => {
  const query = 'subscription { usageRecorded { requestId tags { name value } requestedModel } }'
  const reader = subscribe(other, root, query)
  const stalled = new WebSocket(subscriptionUrl(other), 'graphql-transport-ws')
  const closed = new Promise<number>((resolve) => stalled.once('close', resolve))
  await new Promise((resolve) => stalled.once('open', resolve))
  stalled.send(JSON.stringify({ type: 'connection_init', payload: { authorization: `Bearer ${root}` } }))
  await new Promise((resolve) => stalled.once('message', resolve))
  // Small pieces of large frames: what the kernel holds for a reader that does not read is used up soon.
  const heavy = `subscription { usageRecorded { ${Array.from({ length: 12 }, (_, n) => `m${n}: requestedModel`).join(' ')} } }`
  stalled.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query: heavy } }))
  await begun()
  stalled.pause()
  const rows = 3_000
  const { rows: ids } = await gateway.pool.query<{ request_id: string; reserved_at: string }>(
    `insert into usage_records (request_id, reserved_at, ended_at, organization_id, key_id, operation, door,
       requested_model, state, owner_replica)
     select gen_random_uuid(), now(), now(), k.organization_id, k.id, 'chat', 'rest', repeat('m', 2000), 'settled', 'x'
     from api_keys k cross join generate_series(1, $1) where k.name = 'of acme'
     returning request_id, reserved_at::text`,
    [rows],
  )
  await announce(ids)
  await eventually('the reader to have all', () => reader.events.length === rows, 20_000)
  stalled.resume()
  expect(await closed).toBe(1013)
  await reader.close()
})

/** As the writer of a replica does. */
async function announce(rows: readonly { request_id: string; reserved_at: string }[]): Promise<void> {
  const events = Array.from({ length: Math.ceil(rows.length / 100) }, (_, page) => ({
    type: 'usage-recorded' as const,
    calls: rows
      .slice(page * 100, (page + 1) * 100)
      .map((row) => `${row.request_id} ${row.reserved_at}`)
      .join('\n'),
  }))
  await tellGateways({ redisUrl: new Secret(redis.url), redisPrefix: 'llmgw' }, events)
}
