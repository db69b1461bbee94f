import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { askAdmin, followSetupLink, signedIn } from '../support/admin.ts'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'

/** As the publisher of prices has it; what it lists may change. */
let feed: object = {}
const publisher = createServer((_request, response) => void response.end(JSON.stringify(feed)))
let gateway: TestGateway
let token: string
beforeAll(async () => {
  publisher.listen(0, '127.0.0.1')
  await once(publisher, 'listening')
  const url = `http://127.0.0.1:${(publisher.address() as AddressInfo).port}/prices.json`
  gateway = await openTestGateway({ file: { catalog: { sync: 'off', url } } })
  await followSetupLink(gateway)
  token = await signedIn(gateway)
})
afterAll(async () => {
  await gateway.close()
  publisher.close()
})

const models = (count: number) =>
  Object.fromEntries(
    Array.from({ length: count }, (_, n) => [
      `feed-model-${n}`,
      {
        litellm_provider: 'openai',
        mode: 'chat',
        input_cost_per_token: 1e-6,
        output_cost_per_token: 2e-6,
        max_input_tokens: 1_000,
        max_output_tokens: 100,
      },
    ]),
  )

const fields = '{ status source location added changed unchanged failure startedAt finishedAt }'
const run = (input = '{}') =>
  askAdmin(
    gateway,
    `mutation { catalogSyncRun(input: ${input}) { catalogSync ${fields} isRunning errors { __typename ... on UserError { message } } } }`,
    { token },
  )

test('the published catalog is read when somebody wants it, and all looks are on record', async () => {
  feed = models(200)
  const { data } = await run()
  expect(data.catalogSyncRun).toMatchObject({
    catalogSync: { status: 'SUCCEEDED', source: 'LITELLM', added: 200, failure: null, finishedAt: expect.any(String) },
    isRunning: false,
    errors: [],
  })
  const found = await askAdmin(
    gateway,
    '{ models(filter: { search: "feed-model-7" }, first: 1) { nodes { name price { source } } } }',
    {
      token,
    },
  )
  expect(found.data.models.nodes).toEqual([{ name: 'feed-model-7', price: { source: 'LITELLM' } }])
  feed = models(10)
  const shrunk = await run()
  expect(shrunk.data.catalogSyncRun.catalogSync).toMatchObject({
    status: 'FAILED',
    failure: expect.stringContaining('lists only'),
  })
  expect((await run('{ allowShrink: true }')).data.catalogSyncRun.catalogSync.status).toBe('SUCCEEDED')
  const list = await askAdmin(gateway, `{ catalogSyncs(first: 3) { nodes ${fields} pageInfo { hasNextPage } } }`, {
    token,
  })
  expect(list.data.catalogSyncs.nodes.map(({ status }: { status: string }) => status)).toEqual([
    'SUCCEEDED',
    'FAILED',
    'SUCCEEDED',
  ])
  const audit = await askAdmin(gateway, '{ auditEvents(filter: { action: "catalog.sync" }) { nodes { actorKind } } }', {
    token,
  })
  expect(audit.data.auditEvents.nodes).toEqual(Array(3).fill({ actorKind: 'admin_user' }))
})
