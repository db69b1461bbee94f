import { afterEach, beforeEach, expect, test } from 'vitest'
import { digestOf, ids, openDeclaring } from './declaring.ts'

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

const full = `
providers:
  - { name: openai, type: openai, credentials: { apiKey: sk-provider-secret }, headers: { x-team: header-secret }, organization: org-1 }
  - { name: local, type: openai-compatible, baseUrl: 'https://local.example/v1', passthroughModels: true, preset: groq }
models:
  - { provider: openai, name: tuned, inputUsdPerMillion: 0.5, outputUsdPerMillion: 1.5, maxOutputTokens: 4096 }
aliases:
  - { name: smart, description: d, targets: [{ provider: openai, model: tuned }, { provider: local, model: llama, weight: 2, priority: 1 }] }
keys:
  - name: checkout
    secret: checkout-secret-of-twenty-chars
    organization: acme
    team: payments
    allowedModels: [smart, openai/*]
    expiresAt: '2030-01-01T00:00:00Z'
    unpricedModels: estimate
    rateLimits: { requestsPerMinute: 600, maxConcurrent: 5 }
    budgets: [{ amountUsd: 100, period: month }, { amountUsd: '5.5', period: day, mode: soft, timeZone: Europe/Berlin }]
    tags: { env: prod }
    metadata: { owner: { name: a } }
`
const openai = '{ name: openai, type: openai, credentials: { apiKey: k } }'

test('a first start leaves the default organization, the demo provider and its models', async () => {
  const result = await applied('')
  expect(result).toMatchObject({ ok: true, isChanged: true, generatedKeys: [], warnings: [] })
  expect(await rows('select slug, name from organizations')).toEqual([{ slug: 'default', name: 'Default' }])
  expect(await rows('select name, type, managed_by, enabled from providers')).toEqual([
    { name: 'demo', type: 'demo', managed_by: 'builtin', enabled: true },
  ])
  expect(await rows('select name, mode from models order by name')).toEqual([
    { name: 'demo-chat', mode: 'chat' },
    { name: 'demo-embedding', mode: 'embedding' },
  ])
  expect(await rows('select version, source, status, problems from config_versions')).toEqual([
    { version: String(result.version), source: 'file', status: 'active', problems: [] },
  ])
})

test('everything a file declares stands in the database', async () => {
  await applied(full)
  expect(
    await rows('select name, type, base_url, settings, passthrough_models, managed_by from providers order by name'),
  ).toMatchObject([
    {
      name: 'local',
      type: 'openai-compatible',
      base_url: 'https://local.example/v1',
      settings: { credentialFields: [], preset: 'groq' },
      passthrough_models: true,
    },
    {
      name: 'openai',
      settings: {
        credentialFields: ['apiKey', 'header:x-team'],
        organization: 'org-1',
        timeouts: { totalMs: 600_000 },
      },
      managed_by: 'file',
    },
  ])
  expect(
    await rows(`select m.name, m.catalog, m.max_output_tokens, p.version, p.source, p.rates, p.effective_until
      from models m join model_prices p on p.model_id = m.id`),
  ).toEqual([
    {
      name: 'tuned',
      catalog: 'operator',
      max_output_tokens: 4096,
      version: 1,
      source: 'file',
      rates: {
        tables: [{ serviceTier: 'default', aboveInputTokens: 0, rates: { input: '500000000', output: '1500000000' } }],
      },
      effective_until: null,
    },
  ])
  expect(
    await rows(`select a.name, p.name as provider, t.model, t.weight, t.priority from model_aliases a
      join alias_targets t on t.alias_id = a.id join providers p on p.id = t.provider_id order by t.priority`),
  ).toEqual([
    { name: 'smart', provider: 'openai', model: 'tuned', weight: 1, priority: 0 },
    { name: 'smart', provider: 'local', model: 'llama', weight: 2, priority: 1 },
  ])
  expect(
    await rows(`select k.name, o.slug as organization, t.slug as team, k.secret_digest, k.pepper_id, k.last4, k.enabled,
        k.allowed_models, k.unpriced_policy, k.expires_at, k.managed_by, m.tags, m.metadata
      from api_keys k join organizations o on o.id = k.organization_id join teams t on t.id = k.team_id
      join key_metadata m on m.api_key_id = k.id`),
  ).toEqual([
    {
      name: 'checkout',
      organization: 'acme',
      team: 'payments',
      secret_digest: digestOf('checkout-secret-of-twenty-chars'),
      pepper_id: 'test',
      last4: 'hars',
      enabled: true,
      allowed_models: ['smart', 'openai/*'],
      unpriced_policy: 'estimate',
      expires_at: new Date('2030-01-01T00:00:00Z'),
      managed_by: 'file',
      tags: { env: 'prod' },
      metadata: { owner: { name: 'a' } },
    },
  ])
  expect(await rows('select requests_per_minute, tokens_per_minute, max_concurrent, strict from rate_limits')).toEqual([
    { requests_per_minute: '600', tokens_per_minute: null, max_concurrent: 5, strict: false },
  ])
  expect(await rows('select period, time_zone, mode, amount_nano, managed_by from budgets order by period')).toEqual([
    { period: 'day', time_zone: 'Europe/Berlin', mode: 'soft', amount_nano: '5500000000', managed_by: 'file' },
    { period: 'month', time_zone: 'UTC', mode: 'hard', amount_nano: '100000000000', managed_by: 'file' },
  ])
})

test('the same declaration again writes nothing', async () => {
  const first = await applied(full)
  const events = await count('audit_events')
  const again = await applied(full)
  expect(again).toEqual({ ok: true, version: first.version, isChanged: false, generatedKeys: [], warnings: [] })
  expect(await count('config_versions')).toBe(1)
  expect(await count('audit_events')).toBe(events)
})

test('another declaration touches only what differs', async () => {
  await applied(full)
  const stamps = () =>
    rows<{ updated_at: Date }>(`select updated_at from api_keys union all select updated_at from models
    union all select updated_at from model_aliases union all select updated_at from key_metadata
    union all (select updated_at from providers where name = 'openai')`)
  const before = await stamps()
  const events = await count('audit_events')
  await applied(full.replace('passthroughModels: true', 'passthroughModels: false'))
  expect(await stamps()).toEqual(before)
  expect(
    await rows('select action, before, after from audit_events order by created_at desc, action limit 2'),
  ).toMatchObject([
    { action: 'configuration.apply' },
    { action: 'provider.update', before: { passthrough_models: true }, after: { passthrough_models: false } },
  ])
  expect(await count('audit_events')).toBe(events + 2)
})

test('no secret gets into the database, in whatever column', async () => {
  await applied(`${full}  - { name: generated }`)
  const tables = await rows<{ name: string }>(
    `select c.relname as name from pg_class c where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace`,
  )
  const dump: string[] = []
  for (const { name } of tables) {
    for (const { line } of await rows<{ line: string }>(`select row_to_json(t)::text as line from ${name} t`))
      dump.push(line)
  }
  const text = dump.join('\n')
  expect(text).toContain('"checkout"')
  for (const secret of ['sk-provider-secret', 'header-secret', 'checkout-secret', 'generated-secret']) {
    expect(text).not.toContain(secret)
    expect(text).not.toContain(Buffer.from(secret).toString('hex'))
  }
})

test('a provider secret alone changes nothing in the database', async () => {
  const first = await applied(full)
  const rotated = await applied(full.replace('sk-provider-secret', 'sk-rotated-secret'))
  expect(rotated).toMatchObject({ isChanged: false, version: first.version })
})

test('what vanishes is disabled or revoked, and enabled again when it comes back', async () => {
  await applied(full)
  const before = await rows<{ id: string }>(
    'select id from api_keys union all select id from models union all select id from model_aliases order by id',
  )
  await applied('')
  expect(await rows('select name, enabled from providers order by name')).toEqual([
    { name: 'demo', enabled: true },
    { name: 'local', enabled: false },
    { name: 'openai', enabled: false },
  ])
  expect(await rows('select enabled from model_aliases')).toEqual([{ enabled: false }])
  expect(await rows('select revoked_at is not null as revoked from api_keys')).toEqual([{ revoked: true }])
  expect(
    await rows(`select m.missing_since is not null as missing, p.effective_until is not null as closed
      from models m join model_prices p on p.model_id = m.id where m.name = 'tuned'`),
  ).toEqual([{ missing: true, closed: true }])

  await applied(full)
  expect(await rows('select name, enabled from providers order by name')).toEqual([
    { name: 'demo', enabled: false },
    { name: 'local', enabled: true },
    { name: 'openai', enabled: true },
  ])
  expect(await rows('select enabled from model_aliases')).toEqual([{ enabled: true }])
  expect(await rows('select revoked_at, enabled from api_keys')).toEqual([{ revoked_at: null, enabled: true }])
  expect(await rows(`select missing_since from models where name = 'tuned'`)).toEqual([{ missing_since: null }])
  const prices = await rows<{ version: number; current: boolean }>(
    `select p.version, p.effective_until is null as current from model_prices p join models m on m.id = p.model_id
     where m.name = 'tuned' order by p.version`,
  )
  expect(prices).toEqual([
    { version: 1, current: false },
    { version: 2, current: true },
  ])
  const after = await rows<{ id: string }>(`select id from api_keys union all select id from models where name = 'tuned'
    union all select id from model_aliases order by id`)
  expect(after).toEqual(before)
})

test('a price gets a new version only when its rates differ, and no moment has two', async () => {
  const model = (fields: string) => `providers: [${openai}]\nmodels: [{ provider: openai, name: m, ${fields} }]`
  await applied(model('inputUsdPerMillion: 1, outputUsdPerMillion: 2'))
  await applied(model("outputUsdPerMillion: '2.0', inputUsdPerMillion: 1, maxOutputTokens: 9"))
  expect(await rows('select version from model_prices')).toEqual([{ version: 1 }])
  await applied(model('inputUsdPerMillion: 1, outputUsdPerMillion: 3, maxOutputTokens: 9'))
  await applied(model('maxOutputTokens: 9'))
  await applied(model('inputUsdPerMillion: 1, outputUsdPerMillion: 4, maxOutputTokens: 9'))
  const prices = await rows<{ version: number; output: string; from: Date; until: Date | null }>(
    `select version, rates #>> '{tables,0,rates,output}' as output, effective_from as from, effective_until as until
     from model_prices order by version`,
  )
  expect(prices.map(({ version, output, until }) => [version, output, until === null])).toEqual([
    [1, '2000000000', false],
    [2, '3000000000', false],
    [3, '4000000000', true],
  ])
  expect(prices[0]?.until).toEqual(prices[1]?.from)
})

test('a price that began later than this replica believes it is can be replaced', async () => {
  const model = (output: number) =>
    `providers: [${openai}]\nmodels: [{ provider: openai, name: m, inputUsdPerMillion: 1, outputUsdPerMillion: ${output} }]`
  await applied(model(1))
  await rows(`update model_prices set effective_from = clock_timestamp() + interval '1 hour'`)
  await applied(model(2))
  expect(
    await rows(`select count(*)::int as count, bool_and(effective_until is null or effective_until > effective_from) as ordered
      from model_prices`),
  ).toEqual([{ count: 2, ordered: true }])
})

test('names an administrator has taken refuse the whole declaration, once on record', async () => {
  const before = await applied(`providers: [${openai}]`)
  await rows(`insert into providers (id, name, type, managed_by) values ($1, 'local', 'openai', 'admin')`, [ids(1)])
  await rows(`insert into model_aliases (id, name, managed_by) values ($1, 'smart', 'admin')`, [ids(1)])
  await rows(
    `insert into api_keys (id, organization_id, name, secret_digest, pepper_id, display_prefix, last4, managed_by)
     select $1, o.id, 'checkout', $2, 'test', '', '', 'admin' from organizations o`,
    [ids(1), digestOf('other')],
  )
  const result = await apply(full)
  expect(result).toMatchObject({
    ok: false,
    problems: [
      { path: 'providers[local]', message: expect.stringContaining('a provider that an administrator manages') },
      { path: 'aliases[smart]', message: expect.stringContaining('an alias that') },
      { path: 'keys[checkout]', message: expect.stringContaining('a key that an administrator manages') },
    ],
  })
  expect(await rows(`select name, managed_by, enabled from providers order by name`)).toEqual([
    { name: 'local', managed_by: 'admin', enabled: true },
    { name: 'openai', managed_by: 'file', enabled: true },
  ])
  expect(await count('models')).toBe(0)
  await apply(full)
  expect(await rows('select status from config_versions order by version')).toEqual([
    { status: 'active' },
    { status: 'rejected' },
  ])
  expect(await rows(`select subject_id from audit_events where action = 'configuration.reject'`)).toEqual([
    { subject_id: String(result.version) },
  ])
  expect(await applied(`providers: [${openai}]`)).toMatchObject({ isChanged: false, version: before.version })
})

test('a provider of the environment gives way to an administrator, whose row stays as it is', async () => {
  await rows(
    `insert into providers (id, name, type, base_url, managed_by) values ($1, 'openai', 'openai', 'https://admin.example', 'admin')`,
    [ids(1)],
  )
  const result = await applied('', { OPENAI_API_KEY: 'sk-environment' })
  expect(result.warnings).toMatchObject([{ path: 'providers[openai]' }])
  expect(await rows(`select base_url, managed_by, enabled from providers where name = 'openai'`)).toEqual([
    { base_url: 'https://admin.example', managed_by: 'admin', enabled: true },
  ])
  await applied('keys: [{ name: k, secret: some-secret-of-twenty-chars }]')
  expect(await rows(`select enabled from providers where name = 'openai'`)).toEqual([{ enabled: true }])
})

test('a provider passes from the environment to the file, and keeps its id', async () => {
  await applied('', { OPENAI_API_KEY: 'sk-environment' })
  const [before] = await rows<{ id: string; managed_by: string }>(
    `select id, managed_by from providers where name = 'openai'`,
  )
  await applied(`providers: [${openai}]`, { OPENAI_API_KEY: 'sk-environment' })
  const [after] = await rows<{ id: string; managed_by: string }>(
    `select id, managed_by from providers where name = 'openai'`,
  )
  expect([before?.managed_by, after?.managed_by]).toEqual(['environment', 'file'])
  expect(after?.id).toBe(before?.id)
  const actors = await rows(`select actor_kind, actor_id from audit_events where subject_id = $1 order by created_at`, [
    after?.id,
  ])
  expect(actors).toEqual([
    { actor_kind: 'system', actor_id: 'environment' },
    { actor_kind: 'file', actor_id: null },
  ])
})

test('replicas that start at once take turns, and one of them does the work', async () => {
  const results = await Promise.all(Array.from({ length: 4 }, () => apply(full)))
  expect(results.map((result) => result.ok && result.isChanged).sort()).toEqual([false, false, false, true])
  expect(await count('api_keys')).toBe(1)
  expect(await count('config_versions')).toBe(1)
})

test('a fault half way leaves everything as it was', async () => {
  await applied(`providers: [${openai}]`)
  const events = await count('audit_events')
  const failing = apply('keys: [{ name: a }, { name: b }]')
  // Both get the same secret, and the second one is refused by the database.
  await expect(failing).rejects.toThrow('api_keys_secret_digest_key')
  expect(await rows('select name, enabled from providers')).toEqual([{ name: 'openai', enabled: true }])
  expect([await count('api_keys'), await count('audit_events'), await count('config_versions')]).toEqual([0, events, 1])
})
