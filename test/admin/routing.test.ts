import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { askAdmin, followSetupLink, keyIn, signedIn, tenantOf } from '../support/admin.ts'
import { eventually } from '../support/eventually.ts'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'
import { respondWithCompletion } from '../support/scripted-upstream.ts'

let gateway: TestGateway
let token: string
let key: string
beforeAll(async () => {
  gateway = await openTestGateway()
  await followSetupLink(gateway)
  token = await signedIn(gateway)
  const { organizationId } = await tenantOf(gateway, token, 'acme')
  key = (await keyIn(gateway, token, organizationId, 'of-acme')).secret
})
afterAll(() => gateway.close())

const secret = 'sk-entered-by-an-administrator-1234'
const errors = 'errors { __typename ... on UserError { message path } }'

const documents = {
  providerCreate: `mutation ($input: ProviderCreateInput!) { providerCreate(input: $input) {
    provider { id name type managedBy enabled baseUrl timeouts { idleMs } settings { preset anthropicBeta region }
      credentials { field origin last4 } } ${errors} } }`,
  providerUpdate: `mutation ($input: ProviderUpdateInput!) { providerUpdate(input: $input) {
    provider { id enabled baseUrl timeouts { idleMs totalMs } settings { preset region } credentials { field origin last4 } }
    ${errors} } }`,
  providerTestConnection: `mutation ($input: ProviderTestConnectionInput!) { providerTestConnection(input: $input) {
    succeeded lines ${errors} } }`,
  aliasCreate: `mutation ($input: AliasCreateInput!) { aliasCreate(input: $input) {
    alias { id name managedBy sticky parameters { name value } caps { name value } targets { provider model weight } }
    ${errors} } }`,
  aliasUpdate: `mutation ($input: AliasUpdateInput!) { aliasUpdate(input: $input) {
    alias { id enabled description sticky parameters { name value } targets { provider model } } ${errors} } }`,
  aliasDelete: `mutation ($input: AliasDeleteInput!) { aliasDelete(input: $input) { deleted ${errors} } }`,
  modelDeclare: `mutation ($input: ModelDeclareInput!) { modelDeclare(input: $input) {
    model { id name managedBy provider { name } maxOutputTokens price { source tables { rates { unitKind perMillionUnits { usd } } } } }
    ${errors} } }`,
  modelWithdraw: `mutation ($input: ModelWithdrawInput!) { modelWithdraw(input: $input) { model { missingSince price { id } } ${errors} } }`,
  priceOverrideSet: `mutation ($input: PriceOverrideSetInput!) { priceOverrideSet(input: $input) {
    model { price { source } priceHistory { nodes { version source effectiveUntil } } } ${errors} } }`,
} as const

// biome-ignore lint/suspicious/noExplicitAny: tests look at all sorts of answers
async function change(name: keyof typeof documents, input: object): Promise<any> {
  const answer = await askAdmin(gateway, documents[name], { token, variables: { input } })
  if (answer.errors) throw new Error(JSON.stringify(answer.errors))
  return answer.data[name]
}

const compatible = (name: string, more: object = {}) => ({
  name,
  type: 'OPENAI_COMPATIBLE',
  baseUrl: gateway.upstream.baseUrl,
  passthroughModels: true,
  credentials: [{ field: 'apiKey', secret }],
  ...more,
})

async function made(name: string, more: object = {}): Promise<string> {
  const { provider } = await change('providerCreate', compatible(name, more))
  return provider.id
}

/** Whether a call for the model is answered by now; a change takes a moment to get there. */
const served = (model: string, provider = model.split('/')[0]) =>
  eventually(`${model} to be served`, async () => {
    const response = await gateway.chat({ model }, { key })
    await response.arrayBuffer()
    return response.status === 200 && response.headers.get('x-llmgw-provider') === provider
  })

const lastBody = () => gateway.upstream.requests.at(-1)?.json ?? {}

/** Whether it goes there no more; another provider of this gateway takes any name. */
const left = (model: string, provider = model.split('/')[0]) =>
  eventually(`${model} to be served no more by ${provider}`, async () => {
    const response = await gateway.chat({ model }, { key })
    await response.arrayBuffer()
    return response.headers.get('x-llmgw-provider') !== provider
  })

describe('a provider', () => {
  test('is called with what was entered for it, which nothing shows again', async () => {
    const { provider, errors: none } = await change(
      'providerCreate',
      compatible('entered', { timeouts: { idleMs: 5_000 } }),
    )
    expect(none).toEqual([])
    const { origin } = new URL(gateway.upstream.baseUrl)
    expect(provider).toMatchObject({
      name: 'entered',
      type: 'OPENAI_COMPATIBLE',
      managedBy: 'ADMIN',
      enabled: true,
      timeouts: { idleMs: 5_000 },
      credentials: [{ field: 'apiKey', origin, last4: '1234' }],
    })
    await served('entered/any-model')
    expect(gateway.upstream.requests.at(-1)?.headers.authorization).toBe(`Bearer ${secret}`)
    const { data } = await askAdmin(
      gateway,
      '{ providers(first: 100) { nodes { name credentials { field last4 origin } } } auditEvents(first: 100) { nodes { action before after } } }',
      { token },
    )
    expect(data.auditEvents.nodes.map(({ action }: { action: string }) => action)).toContain('provider.create')
    expect(JSON.stringify(data)).not.toContain(secret)
    const { rows } = await gateway.pool.query('select to_jsonb(c) as row from provider_credentials c')
    expect(JSON.stringify(rows)).not.toContain(secret)
  })

  test('keeps its secret only where it was entered for', async () => {
    const id = await made('moving')
    const elsewhere = gateway.spare.baseUrl
    const without = await change('providerUpdate', { providerId: id, baseUrl: elsewhere })
    expect(without.errors).toMatchObject([
      {
        __typename: 'InvalidInput',
        path: ['input', 'credentials'],
        message: expect.stringContaining('enter it again'),
      },
    ])
    const again = {
      providerId: id,
      baseUrl: elsewhere,
      credentials: [{ field: 'apiKey', secret: 'sk-for-elsewhere-0123456789' }],
    }
    const moved = await change('providerUpdate', again)
    expect(moved.errors).toEqual([])
    expect(moved.provider.credentials).toEqual([{ field: 'apiKey', origin: new URL(elsewhere).origin, last4: '6789' }])
    // It was served before, too: what counts is that it comes to be served there.
    await eventually('a call to go elsewhere', async () => {
      await served('moving/any-model')
      return gateway.spare.requests.length > 0
    })
    expect(gateway.spare.requests.at(-1)?.headers.authorization).toBe('Bearer sk-for-elsewhere-0123456789')
  })

  test('keeps what a change does not name, and goes and comes back', async () => {
    const id = await made('steady', { settings: { preset: 'groq' }, timeouts: { idleMs: 4_000 } })
    await served('steady/any-model')
    const off = await change('providerUpdate', { providerId: id, enabled: false, timeouts: { totalMs: 90_000 } })
    expect(off.provider).toMatchObject({
      enabled: false,
      baseUrl: gateway.upstream.baseUrl,
      timeouts: { idleMs: 4_000, totalMs: 90_000 },
      settings: { preset: 'groq' },
      credentials: [{ field: 'apiKey', last4: '1234' }],
    })
    await left('steady/any-model')
    await change('providerUpdate', { providerId: id, enabled: true })
    await served('steady/any-model')
  })

  test('in an address that was made of its settings follows them', async () => {
    const bearer = [{ field: 'bearerToken', secret: 'bedrock-api-key-0123456789' }]
    const { provider } = await change('providerCreate', {
      name: 'aws',
      type: 'BEDROCK',
      settings: { region: 'eu-central-1' },
      credentials: bearer,
    })
    expect(provider.baseUrl).toBe('https://bedrock-runtime.eu-central-1.amazonaws.com')
    const settings = { region: 'us-east-1' }
    const moved = await change('providerUpdate', { providerId: provider.id, settings, credentials: bearer })
    expect(moved.provider).toMatchObject({
      baseUrl: 'https://bedrock-runtime.us-east-1.amazonaws.com',
      settings: { region: 'us-east-1' },
    })
  })

  test.each([
    [{ name: 'a/b' }, ['input', 'name']],
    [{ name: 'openai' }, ['input', 'name']],
    [{ name: 'smart' }, ['input', 'name']],
    [{ baseUrl: 'http://10.0.0.1/v1' }, ['input', 'baseUrl']],
    [{ baseUrl: 'https://user:pass@example.com' }, ['input', 'baseUrl']],
    [{ settings: { region: 'eu-central-1' } }, ['input', 'settings', 'region']],
    [{ timeouts: { idleMs: 0 } }, ['input', 'timeouts', 'idleMs']],
    [{ credentials: [{ field: 'apiKey', secret: 'two words' }] }, ['input', 'credentials', 'apiKey']],
    [{ credentials: [{ field: 'apikey', secret }] }, ['input', 'credentials', 'apikey']],
    [{ credentials: [{ field: 'header:Host', secret }] }, ['input', 'credentials', 'Host']],
  ])('%j is refused, and says where', async (more, path) => {
    const answer = await change('providerCreate', compatible('refused', more))
    expect(answer.provider).toBeNull()
    expect(answer.errors).toContainEqual(expect.objectContaining({ path }))
    expect(JSON.stringify(answer.errors)).not.toContain(secret)
  })

  test('of the file is changed there', async () => {
    const { data } = await askAdmin(gateway, '{ providers { nodes { id name managedBy } } }', { token })
    const { id } = data.providers.nodes.find(({ name }: { name: string }) => name === 'openai')
    expect((await change('providerUpdate', { providerId: id, enabled: false })).errors).toMatchObject([
      { __typename: 'ManagedByFile' },
    ])
  })

  test('is tried out with one call', async () => {
    const id = await made('tried')
    const good = await change('providerTestConnection', { providerId: id, model: 'any-model' })
    expect(good).toMatchObject({ succeeded: true, errors: [] })
    gateway.upstream.answer((response) => void response.writeHead(401).end('{"error":{"message":"no"}}'))
    const bad = await change('providerTestConnection', { providerId: id, model: 'any-model' })
    expect(bad).toMatchObject({
      succeeded: false,
      lines: [expect.stringContaining('refused the credential'), expect.anything()],
    })
    gateway.upstream.answer(respondWithCompletion)
  })
})

describe('an alias', () => {
  test('is served, changed and taken away', async () => {
    const providerId = await made('behind-alias')
    const { alias, errors: none } = await change('aliasCreate', {
      name: 'quick',
      targets: [{ providerId, model: 'first' }],
      sticky: 'user',
      parameters: [{ name: 'temperature', value: '0.25' }],
      caps: [{ name: 'n', value: 2 }],
    })
    expect(none).toEqual([])
    expect(alias).toMatchObject({
      name: 'quick',
      managedBy: 'ADMIN',
      sticky: 'user',
      parameters: [{ name: 'temperature', value: '0.25' }],
      caps: [{ name: 'n', value: 2 }],
      targets: [{ provider: 'behind-alias', model: 'first', weight: 1 }],
    })
    await served('quick', 'behind-alias')
    expect(lastBody()).toMatchObject({ model: 'first', temperature: 0.25 })
    const targets = [{ providerId, model: 'second' }]
    const changed = await change('aliasUpdate', { aliasId: alias.id, targets, sticky: null, description: 'faster' })
    expect(changed.alias).toMatchObject({
      description: 'faster',
      sticky: null,
      parameters: [{ name: 'temperature', value: '0.25' }],
      targets: [{ provider: 'behind-alias', model: 'second' }],
    })
    await eventually('the other target', async () => {
      await (await gateway.chat({ model: 'quick' }, { key })).arrayBuffer()
      return lastBody().model === 'second'
    })
    expect(await change('aliasDelete', { aliasId: alias.id })).toEqual({ deleted: true, errors: [] })
    await left('quick', 'behind-alias')
    expect(await change('aliasDelete', { aliasId: alias.id })).toMatchObject({
      deleted: false,
      errors: [{ __typename: 'NotFound' }],
    })
  })

  test('that routing could not be built from is refused, and nothing of it is stored', async () => {
    const providerId = await made('knows-little', { passthroughModels: false })
    const before = await gateway.pool.query('select count(*) from config_versions')
    const answer = await change('aliasCreate', { name: 'lost', targets: [{ providerId, model: 'unheard-of' }] })
    expect(answer.errors).toMatchObject([
      { __typename: 'InvalidInput', message: expect.stringContaining('does not know the model "unheard-of"') },
    ])
    const { data } = await askAdmin(gateway, '{ aliases(first: 100) { nodes { name } } }', { token })
    expect(data.aliases.nodes).not.toContainEqual({ name: 'lost' })
    expect((await gateway.pool.query('select count(*) from config_versions')).rows).toEqual(before.rows)
  })

  test('keeps nobody from putting right what was wrong before', async () => {
    const providerId = await made('to-be-mended', { passthroughModels: false })
    await change('modelDeclare', { providerId, name: 'here-today' })
    const { alias } = await change('aliasCreate', { name: 'at-risk', targets: [{ providerId, model: 'here-today' }] })
    // As a catalog may do that lists a model no more.
    await gateway.pool.query(`update models set missing_since = now() where name = 'here-today'`)
    const other = await change('providerUpdate', { providerId: await made('beside'), timeouts: { idleMs: 7_000 } })
    expect(other.errors).toEqual([])
    expect((await change('aliasUpdate', { aliasId: alias.id, enabled: false })).errors).toEqual([])
  })

  test.each([
    ['openai', 'Conflict'],
    ['smart', 'Conflict'],
    ['openai/gpt-9', 'Conflict'],
    ['two words', 'InvalidInput'],
  ])('is not called %s', async (name, type) => {
    const providerId = await made(`for-names-${name.length}-${type.length}-${name.codePointAt(1)}`)
    const { errors: found } = await change('aliasCreate', { name, targets: [{ providerId, model: 'x' }] })
    expect(found[0]).toMatchObject({ __typename: type, path: ['input', 'name'] })
  })
})

describe('a model', () => {
  const price = (input: string, output: string) => [
    {
      rates: [
        { unitKind: 'INPUT', nanoUsdPerMillionUnits: input },
        { unitKind: 'OUTPUT', nanoUsdPerMillionUnits: output },
      ],
    },
  ]

  test('that somebody declares has the price that they say, and calls cost it', async () => {
    const providerId = await made('own-models', { passthroughModels: false })
    const { model, errors: none } = await change('modelDeclare', {
      providerId,
      name: 'house-blend',
      maxOutputTokens: 100,
      price: price('2000000000', '4000000000'),
    })
    expect(none).toEqual([])
    expect(model).toMatchObject({
      managedBy: 'ADMIN',
      provider: { name: 'own-models' },
      price: { source: 'ADMIN', tables: [{ rates: [{ unitKind: 'INPUT', perMillionUnits: { usd: '2' } }, {}] }] },
    })
    await served('own-models/house-blend')
    const response = await gateway.chat({ model: 'own-models/house-blend' }, { key })
    const { usage } = (await response.json()) as { usage: { prompt_tokens: number; completion_tokens: number } }
    const record = await gateway.settledRecord(response.headers.get('x-request-id') ?? '')
    expect(Number(record.charged_nano)).toBe(usage.prompt_tokens * 2_000 + usage.completion_tokens * 4_000)
    const gone = await change('modelWithdraw', { modelId: model.id })
    expect(gone.model).toMatchObject({ missingSince: expect.any(String), price: null })
    await left('own-models/house-blend')
  })

  test('of a catalog may be given another price, which ends again, and all versions stay on record', async () => {
    const { data } = await askAdmin(
      gateway,
      '{ models(filter: { search: "gpt-4o-mini", catalog: "openai" }, first: 1) { nodes { id price { source } } } }',
      { token },
    )
    const [{ id, price: listed }] = data.models.nodes
    const set = await change('priceOverrideSet', { modelId: id, price: price('1', '1') })
    expect(set).toMatchObject({ errors: [], model: { price: { source: 'ADMIN' } } })
    const ended = await change('priceOverrideSet', { modelId: id, price: null })
    expect(ended.model.price).toEqual(listed)
    expect(ended.model.priceHistory.nodes[0]).toMatchObject({ source: 'ADMIN', effectiveUntil: expect.any(String) })
    expect(ended.model.priceHistory.nodes.length).toBeGreaterThan(1)
    const nothing = await change('priceOverrideSet', { modelId: id, price: [] })
    expect(nothing.errors).toMatchObject([{ __typename: 'InvalidInput' }])
  })
})
