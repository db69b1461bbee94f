import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { askAdmin, followSetupLink, keyIn, memberOf, signedIn, tenantOf } from '../support/admin.ts'
import { eventually } from '../support/eventually.ts'
import { openTestGateway, requestIdOf, type TestGateway, upstreamCredential } from '../support/gateway.ts'
import { respondWithCompletion, respondWithJson, usageOf } from '../support/scripted-upstream.ts'

/** At 1 USD a million in and 4 USD a million out: 1,000 and 4,000 nano-USD a token. */
const costNano = 10 * 1_000 + 20 * 4_000

let gateway: TestGateway
let root: string
let acme: { organizationId: string; teamId: string }
let globex: { organizationId: string; teamId: string }
const keys = new Map<string, { id: string; secret: string }>()
beforeAll(async () => {
  gateway = await openTestGateway()
  await followSetupLink(gateway)
  root = await signedIn(gateway)
  acme = await tenantOf(gateway, root, 'acme')
  globex = await tenantOf(gateway, root, 'globex')
  keys.set('acme', await keyIn(gateway, root, acme.organizationId, 'of acme'))
  keys.set('team', await keyIn(gateway, root, acme.teamId, "of acme's team"))
  keys.set('globex', await keyIn(gateway, root, globex.organizationId, 'of globex'))
  gateway.upstream.answer((response, request) => respondWithCompletion(response, request, { usage: usageOf(10, 20) }))
  for (const name of ['acme', 'team', 'team', 'globex']) expect((await call(name)).status).toBe(200)
  await gateway.allSettled()
})
afterAll(() => gateway.close())
beforeEach(() =>
  gateway.upstream.answer((response, request) => respondWithCompletion(response, request, { usage: usageOf(10, 20) })),
)

const call = (name: string) => gateway.chat({ model: 'round-numbers' }, { key: keys.get(name)?.secret ?? '' })
const ask = (query: string, token = root) => askAdmin(gateway, query, { token })

test('a key works from when it is made, stops when it is switched off or revoked, and says who did it', async () => {
  const key = await keyIn(gateway, root, acme.organizationId, 'short-lived')
  const status = async () => (await gateway.chat({ model: 'round-numbers' }, { key: key.secret })).status
  expect(await status()).toBe(200)
  const set = (enabled: boolean) =>
    ask(
      `mutation { apiKeySetEnabled(input: { apiKeyId: "${key.id}", enabled: ${enabled} }) { apiKey { state } errors { __typename } } }`,
    )
  expect((await set(false)).data.apiKeySetEnabled).toEqual({ apiKey: { state: 'DISABLED' }, errors: [] })
  expect(await status()).toBe(401)
  expect((await set(true)).data.apiKeySetEnabled.apiKey.state).toBe('ACTIVE')
  expect(await status()).toBe(200)
  const revoked = await ask(`mutation { apiKeyRevoke(input: { apiKeyId: "${key.id}" }) { apiKey { state } } }`)
  expect(revoked.data.apiKeyRevoke.apiKey.state).toBe('REVOKED')
  expect(await status()).toBe(401)
  expect((await set(true)).data.apiKeySetEnabled.errors).toEqual([{ __typename: 'Conflict' }])

  const { data } = await ask(
    '{ auditEvents(first: 4) { nodes { action actorKind organization { slug } before after } } }',
  )
  const actions = data.auditEvents.nodes.map(({ action }: { action: string }) => action)
  expect(actions).toEqual(['key.revoke', 'key.enable', 'key.disable', 'key.create'])
  for (const event of data.auditEvents.nodes) {
    expect(event).toMatchObject({ actorKind: 'admin_user', organization: { slug: 'acme' } })
    expect(`${event.before} ${event.after}`).not.toContain(key.secret)
  }
  expect(JSON.stringify(gateway.logLines)).not.toContain(key.secret)
})

test('what the file declares is changed there', async () => {
  const { data } = await ask('{ apiKeys(filter: { search: "suites" }) { nodes { id managedBy } } }')
  const [declared] = data.apiKeys.nodes
  expect(declared.managedBy).toBe('FILE')
  const refused = await ask(
    `mutation { apiKeyRevoke(input: { apiKeyId: "${declared.id}" }) { errors { __typename } } }`,
  )
  expect(refused.data.apiKeyRevoke.errors).toEqual([{ __typename: 'ManagedByFile' }])
})

test('one call explains every cent of itself', async () => {
  gateway.upstream.answer((response) => respondWithJson(response, 500, { error: { message: 'Scripted.' } }))
  gateway.spare.answer((response, request) => respondWithCompletion(response, request, { usage: usageOf(10, 20) }))
  const response = await gateway.chat({ model: 'smart' }, { key: keys.get('globex')?.secret ?? '' })
  const requestId = requestIdOf(response)
  await gateway.settledRecord(requestId)
  const { data } = await ask(`{ usageRecords(first: 1, filter: { alias: "smart" }) { nodes {
    id requestId state finish provider model alias cost { nanoUsd usd } organization { slug } apiKey { name }
    attempts { number provider outcome httpStatus billing units { kind count } cost { nanoUsd } }
    ledgerEntries { kind isOfBudgetPeriod amount { nanoUsd } } } } }`)
  // At 3 and 6 USD a million.
  const spareNano = String(10 * 3_000 + 20 * 6_000)
  const [record] = data.usageRecords.nodes
  expect(record).toMatchObject({
    requestId,
    state: 'settled',
    provider: 'spare',
    alias: 'smart',
    cost: { nanoUsd: spareNano, usd: '0.00015' },
    organization: { slug: 'globex' },
    apiKey: { name: 'of globex' },
    attempts: [
      { number: 1, provider: 'openai', outcome: 'status', httpStatus: 500, cost: { nanoUsd: '0' } },
      {
        number: 2,
        provider: 'spare',
        outcome: 'answered',
        billing: 'billed',
        units: expect.arrayContaining([
          { kind: 'input', count: '10' },
          { kind: 'output', count: '20' },
        ]),
        cost: { nanoUsd: spareNano },
      },
    ],
    ledgerEntries: [{ kind: 'charge', isOfBudgetPeriod: false, amount: { nanoUsd: spareNano } }],
  })
  const again = await ask(`{ node(id: "${record.id}") { ... on UsageRecord { requestId } } }`)
  expect(again.data.node).toEqual({ requestId })
})

test('statistics are the sums of the ledger, by whatever is asked for', async () => {
  const since = new Date(Date.now() - 24 * 3_600_000).toISOString()
  for (const interval of ['HOUR', 'DAY', 'MONTH']) {
    const { data } = await ask(
      `{ usageStatistics(since: "${since}", interval: ${interval}, by: [ORGANIZATION]) {
        isTruncated rows { organization { slug } requests cost { nanoUsd } } } }`,
    )
    const sums = new Map<string, bigint>()
    for (const { organization, cost } of data.usageStatistics.rows) {
      sums.set(organization.slug, (sums.get(organization.slug) ?? 0n) + BigInt(cost.nanoUsd))
    }
    const { rows } = await gateway.pool.query(
      `select o.slug, sum(l.amount_nano)::text as nano from ledger_entries l join organizations o on o.id = l.organization_id
       where l.budget_period_id is null group by o.slug`,
    )
    expect(sums).toEqual(new Map(rows.map(({ slug, nano }) => [slug, BigInt(nano)])))
  }
  const one = await ask(
    `{ usageStatistics(since: "${since}", by: [API_KEY], apiKeyId: "${keys.get('team')?.id}") {
      rows { apiKey { name } requests cost { nanoUsd } } } }`,
  )
  expect(one.data.usageStatistics.rows).toEqual([
    { apiKey: { name: "of acme's team" }, requests: '2', cost: { nanoUsd: String(2 * costNano) } },
  ])
})

test('pages of calls follow each other without a gap or a double', async () => {
  const seen: string[] = []
  let after = 'null'
  for (let page = 0; page < 20; page++) {
    const { data } = await ask(
      `{ usageRecords(first: 2, after: ${after}) { nodes { requestId } pageInfo { hasNextPage endCursor } } }`,
    )
    seen.push(...data.usageRecords.nodes.map(({ requestId }: { requestId: string }) => requestId))
    if (!data.usageRecords.pageInfo.hasNextPage) break
    after = JSON.stringify(data.usageRecords.pageInfo.endCursor)
  }
  const { rows } = await gateway.pool.query(
    'select request_id from usage_records order by reserved_at desc, request_id desc',
  )
  expect(seen).toEqual(rows.map(({ request_id }) => request_id))
})

test('everybody sees the calls, keys, changes and sums of their own places, by whatever way', async () => {
  const everything = `{
    usageRecords { nodes { id apiKey { name } } }
    apiKeys { nodes { id name } }
    organizations { nodes { slug teams { slug } } }
    usageStatistics(since: "2026-01-01T00:00:00Z", by: [API_KEY]) { rows { apiKey { name } } }
    auditEvents { nodes { organization { slug } } }
  }`
  const seenBy = async (token: string) => {
    const { data } = await ask(everything, token)
    const names = (nodes: { name?: string; apiKey?: { name: string } }[]) =>
      [...new Set(nodes.map((node) => node.name ?? node.apiKey?.name))].sort()
    return {
      calls: names(data.usageRecords.nodes),
      keys: names(data.apiKeys.nodes),
      organizations: data.organizations.nodes,
      sums: names(data.usageStatistics.rows),
      audit: [
        ...new Set(
          data.auditEvents.nodes.map((event: { organization: { slug: string } | null }) => event.organization?.slug),
        ),
      ],
    }
  }
  const ofTeam = ["of acme's team"]
  expect(await seenBy(await memberOf(gateway, root, 'team-viewer', 'VIEWER', acme.teamId))).toEqual({
    calls: ofTeam,
    keys: ofTeam,
    organizations: [{ slug: 'acme', teams: [{ slug: 'core' }] }],
    sums: ofTeam,
    audit: [],
  })
  const ofGlobex = ['of globex']
  const globexToken = await memberOf(gateway, root, 'globex-viewer', 'VIEWER', globex.organizationId)
  expect(await seenBy(globexToken)).toEqual({
    calls: ofGlobex,
    keys: ofGlobex,
    organizations: [{ slug: 'globex', teams: [{ slug: 'core' }] }],
    sums: ofGlobex,
    audit: ['globex'],
  })
  const { data } = await ask(everything)
  const ids = [...data.usageRecords.nodes, ...data.apiKeys.nodes]
    .filter((node) => !(node.name ?? node.apiKey.name).includes('globex'))
    .map(({ id }) => id)
  expect(ids.length).toBeGreaterThan(4)
  for (const id of [...ids, acme.organizationId, acme.teamId]) {
    expect((await ask(`{ node(id: "${id}") { id } }`, globexToken)).data).toEqual({ node: null })
  }
  const filtered = await ask(
    `{ usageRecords(filter: { ownerId: "${acme.organizationId}" }) { nodes { id } } }`,
    globexToken,
  )
  expect(filtered.data.usageRecords.nodes).toEqual([])
})

test('a budget stands as calls have left it, and is raised by whoever may', async () => {
  const budgetId = randomUUID()
  await gateway.pool.query(
    `insert into budgets (id, organization_id, amount_nano, period, mode, managed_by)
     select $1, o.id, 1, 'day', 'hard', 'admin' from organizations o where o.slug = 'globex'`,
    [budgetId],
  )
  await eventually('the budget to hold', async () => (await call('globex')).status === 429, 15_000)
  const { data } = await ask(`{ budgets { nodes { id scope period mode organization { slug } amount { nanoUsd }
    limit { nanoUsd } left { nanoUsd } raise { until } } } }`)
  const [budget] = data.budgets.nodes.filter(
    (node: { organization: { slug: string } }) => node.organization.slug === 'globex',
  )
  expect(budget).toMatchObject({
    scope: 'ORGANIZATION',
    period: 'DAY',
    mode: 'HARD',
    amount: { nanoUsd: '1' },
    limit: { nanoUsd: '1' },
    raise: null,
  })
  const raise = (amount: string, until: string) =>
    ask(`mutation { budgetRaise(input: { budgetId: "${budget.id}", amountNanoUsd: "${amount}", until: "${until}" }) {
      budget { limit { usd } raise { amount { usd } } } errors { __typename } } }`)
  expect((await raise('1000000000', '2020-01-01T00:00:00Z')).data.budgetRaise.errors).toEqual([
    { __typename: 'InvalidInput' },
  ])
  expect((await raise('1000000000', '2999-01-01T00:00:00Z')).data.budgetRaise).toEqual({
    budget: { limit: { usd: '1.000000001' }, raise: { amount: { usd: '1' } } },
    errors: [],
  })
  await eventually('the raise to hold', async () => (await call('globex')).status === 200, 15_000)
})

test('providers show no secret, and how they are found', async () => {
  await gateway.forgetHealth()
  gateway.upstream.answer((response) => respondWithJson(response, 500, { error: { message: 'Scripted.' } }))
  for (let attempt = 0; attempt < 20; attempt++) await call('acme')
  const { data } = await ask(`{ providers { nodes { name type managedBy enabled credentials { field last4 }
    health { process credentialAccepted modelsInTrouble { model circuit failures } } } } }`)
  const openai = data.providers.nodes.find((node: { name: string }) => node.name === 'openai')
  expect(openai).toMatchObject({ type: 'OPENAI', managedBy: 'FILE', enabled: true })
  expect(openai.health).toMatchObject([
    { process: 'main', credentialAccepted: true, modelsInTrouble: [{ model: 'round-numbers', circuit: 'open' }] },
  ])
  expect(JSON.stringify(data)).not.toContain(upstreamCredential)
})

test('what is served from and who serves is there to see', async () => {
  const { data } = await ask(`{ aliases { nodes { name enabled managedBy billingKey { name }
    targets { provider model weight priority region } } } configVersions(first: 1) { nodes { version source status problems { path } } }
    replicas { nodes { label host version stoppedAt } } }`)
  expect(data.aliases.nodes).toEqual([
    {
      name: 'smart',
      enabled: true,
      managedBy: 'FILE',
      billingKey: null,
      targets: [
        { provider: 'openai', model: 'round-numbers', weight: 1, priority: 0, region: null },
        { provider: 'spare', model: 'spare-chat', weight: 1, priority: 1, region: null },
      ],
    },
  ])
  expect(data.configVersions.nodes).toMatchObject([{ source: 'FILE', status: 'ACTIVE', problems: [] }])
  expect(data.replicas.nodes).toMatchObject([{ label: 'main', stoppedAt: null }])
})

test('a key of another organization that made a call is not shown to those whose key paid', async () => {
  await gateway.forgetHealth()
  const record = (token: string) =>
    ask('{ usageRecords(first: 1) { nodes { apiKey { name } callerApiKey { name } } } }', token)
  await gateway.pool.query(
    `update model_aliases set billing_key_id = k.id from api_keys k where k.name = 'of acme' and model_aliases.name = 'smart'`,
  )
  await gateway.pool.query(`insert into config_versions (source, status, content_hash) values ('admin', 'active', 'x')`)
  const caller = keys.get('globex')?.secret ?? ''
  await eventually(
    'the alias to have a billing key',
    async () => {
      const { headers } = await gateway.chat({ model: 'smart' }, { key: caller })
      const settled = await gateway.settledRecord(headers.get('x-request-id') ?? '')
      return (settled as unknown as { caller_key_id: string | null }).caller_key_id !== null
    },
    20_000,
  )
  const viewer = await memberOf(gateway, root, 'acme-accountant', 'VIEWER', acme.organizationId)
  expect((await record(viewer)).data.usageRecords.nodes).toEqual([{ apiKey: { name: 'of acme' }, callerApiKey: null }])
  expect((await record(root)).data.usageRecords.nodes).toEqual([
    { apiKey: { name: 'of acme' }, callerApiKey: { name: 'of globex' } },
  ])
})

test('statistics by tag count a call for each tag that it carries', async () => {
  const root = await signedIn(gateway)
  const { organizationId } = await tenantOf(gateway, root, 'tagged')
  const made = await askAdmin(
    gateway,
    `mutation ($input: ApiKeyCreateInput!) { apiKeyCreate(input: $input) { secret } }`,
    {
      token: root,
      variables: {
        input: {
          ownerId: organizationId,
          name: 'tagged',
          tags: [
            { name: 'feature', value: 'search' },
            { name: 'stage', value: 'prod' },
          ],
        },
      },
    },
  )
  for (let times = 0; times < 3; times++) {
    await (await gateway.chat({ model: 'round-numbers' }, { key: made.data.apiKeyCreate.secret })).arrayBuffer()
  }
  await gateway.allSettled()
  const since = new Date(Date.now() - 3_600_000).toISOString()
  const byTag = (more: string) =>
    askAdmin(gateway, `{ usageStatistics(since: "${since}", ${more}) { rows { tagValue model requests } } }`, {
      token: root,
    })
  const { data } = await byTag('by: [TAG], tagName: "feature"')
  expect(data.usageStatistics.rows).toEqual([{ tagValue: 'search', model: null, requests: '3' }])
  const monthly = await byTag('by: [TAG, MODEL], tagName: "stage", interval: MONTH')
  expect(monthly.data.usageStatistics.rows).toMatchObject([{ tagValue: 'prod', requests: '3' }])
  for (const wrong of ['by: [TAG]', 'by: [TAG, ALIAS], tagName: "stage"']) {
    expect((await byTag(wrong)).errors?.[0]?.extensions.code).toBe('BAD_USER_INPUT')
  }
})
