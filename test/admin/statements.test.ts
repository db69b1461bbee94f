import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { askAdmin, followSetupLink, signedIn } from '../support/admin.ts'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'

/** How many statements an operation may send, however many rows its lists have. One of them is who asks. */
const operations: readonly [name: string, most: number, document: string][] = [
  [
    'organizations',
    5,
    '{ organizations(first: FIRST) { nodes { slug teams { slug rateLimit { strict } } rateLimit { strict } } } }',
  ],
  [
    'adminUsers',
    5,
    '{ adminUsers(first: FIRST) { nodes { email roles { role organization { slug } team { slug } } } } }',
  ],
  ['serviceTokens', 3, '{ serviceTokens(first: FIRST) { nodes { serviceName roles { role } } } }'],
  [
    'apiKeys',
    5,
    '{ apiKeys(first: FIRST) { nodes { name organization { slug } team { slug organization { name } } rateLimit { strict } } } }',
  ],
  [
    'usageRecords',
    7,
    `{ usageRecords(first: FIRST) { nodes { cost { usd } organization { slug } team { slug } apiKey { name } callerApiKey { name }
       attempts { model } ledgerEntries { kind } } } }`,
  ],
  [
    'usageStatistics',
    5,
    `{ usageStatistics(since: "2026-01-01T00:00:00Z", by: [ORGANIZATION, TEAM, API_KEY]) {
       rows { organization { slug } team { slug } apiKey { name } cost { usd } } } }`,
  ],
  ['auditEvents', 3, '{ auditEvents(first: FIRST) { nodes { action organization { slug } } } }'],
  [
    'budgets',
    6,
    '{ budgets(first: FIRST) { nodes { amount { usd } organization { slug } team { slug } apiKey { name } periods(first: 3) { nodes { start } } } } }',
  ],
  [
    'rateLimits',
    5,
    '{ rateLimits(first: FIRST) { nodes { organization { slug } team { slug } apiKey { name } current { requests } } } }',
  ],
  [
    'models',
    4,
    '{ models(first: FIRST) { nodes { name provider { name } price { version } priceHistory(first: 3) { nodes { version } } } } }',
  ],
  ['providers', 2, '{ providers(first: FIRST) { nodes { name credentials { field } health { process } } } }'],
  ['aliases', 3, '{ aliases(first: FIRST) { nodes { name targets { model } billingKey { name } } } }'],
  ['catalogSyncs', 2, '{ catalogSyncs(first: FIRST) { nodes { status } } }'],
  ['configVersions', 2, '{ configVersions(first: FIRST) { nodes { status problems { path } } } }'],
  ['replicas', 2, '{ replicas(first: FIRST) { nodes { host } } }'],
]

let gateway: TestGateway
let token: string
beforeAll(async () => {
  gateway = await openTestGateway()
  await followSetupLink(gateway)
  token = await signedIn(gateway)
  await seed(gateway.pool, 60)
})
afterAll(() => gateway.close())

/** Statements of the admin plane while an operation runs; the fewest of several, for others use its pool now and then. */
async function statementsOf(query: string): Promise<number> {
  const counts: number[] = []
  for (let round = 0; round < 3; round++) {
    let count = 0
    const original = pg.Client.prototype.query
    const spy = vi.spyOn(pg.Client.prototype, 'query').mockImplementation(function (
      this: pg.Client,
      ...args: unknown[]
    ) {
      const { application_name: name } = (this as unknown as { connectionParameters: { application_name: string } })
        .connectionParameters
      if (name === 'llmgw admin') count++
      return (original as (...given: unknown[]) => unknown).apply(this, args) as never
    })
    const { errors } = await askAdmin(gateway, query, { token })
    spy.mockRestore()
    expect(errors).toBeUndefined()
    counts.push(count)
  }
  return Math.min(...counts)
}

describe('a page asks the database', () => {
  test.each(operations)('of %s at most %i times, with one row and with fifty', async (_name, most, document) => {
    const few = await statementsOf(document.replaceAll('FIRST', '1'))
    const many = await statementsOf(document.replaceAll('FIRST', '50'))
    expect(few).toBeGreaterThan(1)
    expect(many).toBeGreaterThanOrEqual(few)
    expect(many).toBeLessThanOrEqual(most)
  })
})

/** A row each of everything that is listed, so many times. */
async function seed(pool: pg.Pool, count: number): Promise<void> {
  const series = `generate_series(1, ${count}) as n`
  for (const sql of [
    `insert into organizations (id, slug, name) select gen_random_uuid(), 'o' || n, 'O' from ${series}`,
    `insert into teams (id, organization_id, slug, name) select gen_random_uuid(), o.id, 't', 'T' from organizations o`,
    `insert into admin_users (id, email, display_name) select gen_random_uuid(), 'u' || n || '@x.y', 'U' from ${series}`,
    `insert into admin_tokens (id, service_name, token_hash) select gen_random_uuid(), 's' || n, 'x' from ${series}`,
    `insert into role_bindings (id, admin_user_id, role, team_id)
     select gen_random_uuid(), u.id, 'viewer', (select t.id from teams t order by md5(t.id::text || u.id) limit 1) from admin_users u`,
    `insert into role_bindings (id, admin_token_id, role, organization_id)
     select gen_random_uuid(), k.id, 'viewer', (select o.id from organizations o order by md5(o.id::text || k.id) limit 1) from admin_tokens k`,
    `insert into api_keys (id, organization_id, team_id, name, secret_digest, pepper_id, display_prefix, last4, managed_by)
     select gen_random_uuid(), t.organization_id, t.id, 'k', sha256(t.id::text::bytea), 'p', 'llmgw', 'abcd', 'admin' from teams t`,
    `insert into rate_limits (id, api_key_id, max_concurrent) select gen_random_uuid(), k.id, 5 from api_keys k`,
    `insert into rate_limits (id, team_id, max_concurrent) select gen_random_uuid(), t.id, 5 from teams t`,
    `insert into budgets (id, api_key_id, amount_nano, period, mode, managed_by)
     select gen_random_uuid(), k.id, 5, 'month', 'soft', 'admin' from api_keys k`,
    `insert into usage_records (request_id, reserved_at, organization_id, team_id, key_id, caller_key_id, operation, door,
       requested_model, state, owner_replica)
     select gen_random_uuid(), now() - n * interval '1 minute', k.organization_id, k.team_id, k.id, k.id, 'chat', 'rest', 'm',
       'settled', 'r'
     from ${series} join (select *, row_number() over () as at from api_keys) k on k.at = n`,
    `insert into usage_daily (bucket, organization_id, team_id, key_id, provider, model, requests)
     select date_trunc('day', now(), 'UTC'), k.organization_id, k.team_id, k.id, 'p', 'm', 1 from api_keys k`,
    `insert into audit_events (id, actor_kind, action, subject_kind, subject_id, organization_id)
     select gen_random_uuid(), 'system', 'x.y', 'x', 'y', o.id from organizations o`,
    `insert into models (id, catalog, name, provider_id, managed_by)
     select gen_random_uuid(), 'aaa', 'm' || n, (select p.id from providers p limit 1), 'admin' from ${series}`,
    `insert into model_aliases (id, name, managed_by, billing_key_id)
     select gen_random_uuid(), 'a' || n, 'admin', (select k.id from api_keys k order by md5(k.id::text || n) limit 1) from ${series}`,
    `insert into catalog_syncs (id, source, location, status) select gen_random_uuid(), 'litellm', 'x', 'succeeded' from ${series}`,
    `insert into config_versions (source, status, content_hash) select 'system', 'rejected', 'x' from ${series}`,
    `insert into replicas (id, host, pid, version, label) select 'r' || n, 'h', 1, 'v', 'main' from ${series}`,
  ]) {
    await pool.query(sql)
  }
}
