import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { askAdmin, followSetupLink, keyIn, signedIn, tenantOf } from '../support/admin.ts'
import { eventually } from '../support/eventually.ts'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'
import { startStream, textChunk, writeFrame } from '../support/scripted-upstream.ts'

let gateway: TestGateway
let token: string
let organizationId: string
let teamId: string
beforeAll(async () => {
  gateway = await openTestGateway()
  await followSetupLink(gateway)
  token = await signedIn(gateway)
  ;({ organizationId, teamId } = await tenantOf(gateway, token, 'acme'))
})
afterAll(() => gateway.close())

const errors = 'errors { __typename ... on UserError { message path } }'
const documents = {
  apiKeyUpdate: `mutation ($input: ApiKeyUpdateInput!) { apiKeyUpdate(input: $input) { apiKey {
    name allowedModels expiresAt description tags { name value } metadata { name value } unpricedModels } ${errors} } }`,
  apiKeyRotate: `mutation ($input: ApiKeyRotateInput!) { apiKeyRotate(input: $input) {
    apiKey { id last4 previousSecretUntil } secret ${errors} } }`,
  apiKeyRevoke: `mutation ($input: ApiKeyRevokeInput!) { apiKeyRevoke(input: $input) { apiKey { state } ${errors} } }`,
  rateLimitSet: `mutation ($input: RateLimitSetInput!) { rateLimitSet(input: $input) { rateLimit { id requestsPerMinute
    maxConcurrent managedBy current { requests tokens running } organization { slug } team { slug } apiKey { name } } ${errors} } }`,
  rateLimitRemove: `mutation ($input: RateLimitRemoveInput!) { rateLimitRemove(input: $input) { removed ${errors} } }`,
  budgetCreate: `mutation ($input: BudgetCreateInput!) { budgetCreate(input: $input) { budget { id scope period mode
    managedBy amount { usd } left { usd } committed { usd } alertThresholdsPercent tag { name } } ${errors} } }`,
  budgetUpdate: `mutation ($input: BudgetUpdateInput!) { budgetUpdate(input: $input) { budget { mode amount { usd }
    committed { nanoUsd } alertThresholdsPercent } ${errors} } }`,
  budgetDelete: `mutation ($input: BudgetDeleteInput!) { budgetDelete(input: $input) { deleted ${errors} } }`,
} as const

// biome-ignore lint/suspicious/noExplicitAny: tests look at all sorts of answers
async function change(name: keyof typeof documents, input: object): Promise<any> {
  const answer = await askAdmin(gateway, documents[name], { token, variables: { input } })
  if (answer.errors) throw new Error(JSON.stringify(answer.errors))
  return answer.data[name]
}

async function statusWith(secret: string): Promise<number> {
  const response = await gateway.chat({}, { key: secret })
  await response.arrayBuffer()
  return response.status
}

const becomes = (secret: string, status: number) =>
  eventually(`the key to be answered with ${status}`, async () => (await statusWith(secret)) === status)

describe('a key', () => {
  test('is changed where the change says so, and nowhere else', async () => {
    const { id, secret } = await keyIn(gateway, token, teamId, 'to-change')
    expect(await statusWith(secret)).toBe(200)
    const first = await change('apiKeyUpdate', {
      apiKeyId: id,
      name: 'changed',
      allowedModels: ['smart'],
      description: 'for a test',
      tags: [{ name: 'stage', value: 'prod' }],
      metadata: [{ name: 'ticket', value: '{"id":7}' }],
      unpricedModels: 'BLOCK',
      expiresAt: '2099-01-01T00:00:00.000Z',
    })
    expect(first).toEqual({
      apiKey: {
        name: 'changed',
        allowedModels: ['smart'],
        expiresAt: '2099-01-01T00:00:00.000Z',
        description: 'for a test',
        tags: [{ name: 'stage', value: 'prod' }],
        metadata: [{ name: 'ticket', value: '{"id":7}' }],
        unpricedModels: 'BLOCK',
      },
      errors: [],
    })
    await becomes(secret, 403)
    const second = await change('apiKeyUpdate', { apiKeyId: id, allowedModels: null, expiresAt: null })
    expect(second.apiKey).toMatchObject({
      name: 'changed',
      allowedModels: null,
      expiresAt: null,
      unpricedModels: 'BLOCK',
    })
    await becomes(secret, 200)
    const wrong = await change('apiKeyUpdate', { apiKeyId: id, name: '' })
    expect(wrong.errors).toMatchObject([{ __typename: 'InvalidInput', path: ['input', 'name'] }])
  })

  test('is given another secret, and the one before goes on for as long as was said', async () => {
    const { id, secret } = await keyIn(gateway, token, teamId, 'to-rotate')
    expect(await statusWith(secret)).toBe(200)
    const rotated = await change('apiKeyRotate', { apiKeyId: id, overlapSeconds: 3 })
    expect(rotated.errors).toEqual([])
    expect(rotated.apiKey.previousSecretUntil).toEqual(expect.any(String))
    expect(await statusWith(rotated.secret)).toBe(200)
    expect(await statusWith(secret)).toBe(200)
    const late = await eventually('the secret before to end', async () => {
      const response = await gateway.chat({}, { key: secret })
      const body = (await response.json()) as { error?: { code: string } }
      return response.status === 401 && body.error?.code
    })
    expect(late).toBe('key_expired')
    expect(await statusWith(rotated.secret)).toBe(200)
  })

  test('that is changed after a rotation is changed under both secrets', async () => {
    const { id, secret } = await keyIn(gateway, token, teamId, 'two-secrets')
    const rotated = await change('apiKeyRotate', { apiKeyId: id, overlapSeconds: 3_600 })
    expect([await statusWith(secret), await statusWith(rotated.secret)]).toEqual([200, 200])
    await change('apiKeyRevoke', { apiKeyId: id })
    await becomes(secret, 401)
    await becomes(rotated.secret, 401)
  })

  test('without an overlap the secret before ends at once, and a second rotation ends the one before that', async () => {
    const { id, secret } = await keyIn(gateway, token, teamId, 'at-once')
    const second = await change('apiKeyRotate', { apiKeyId: id, overlapSeconds: 0 })
    await becomes(secret, 401)
    const third = await change('apiKeyRotate', { apiKeyId: id, overlapSeconds: 3_600 })
    const fourth = await change('apiKeyRotate', { apiKeyId: id, overlapSeconds: 3_600 })
    await becomes(second.secret, 401)
    expect([await statusWith(third.secret), await statusWith(fourth.secret)]).toEqual([200, 200])
    expect((await change('apiKeyRotate', { apiKeyId: id, overlapSeconds: -1 })).errors[0].__typename).toBe(
      'InvalidInput',
    )
  })

  test('takes its calls with it when it is revoked so, and leaves those of others', async () => {
    gateway.upstream.answer((response) => {
      startStream(response)
      writeFrame(response, textChunk('still '))
    })
    const ending = await keyIn(gateway, token, teamId, 'ending')
    const other = await keyIn(gateway, token, teamId, 'going-on')
    const open = async (secret: string) => {
      const response = await gateway.chat({ stream: true }, { key: secret })
      const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
      await reader?.read()
      return { reader, id: response.headers.get('x-request-id') ?? '' }
    }
    const [ended, left] = [await open(ending.secret), await open(other.secret)]
    const revoked = await change('apiKeyRevoke', { apiKeyId: ending.id, terminate: true })
    expect(revoked).toEqual({ apiKey: { state: 'REVOKED' }, errors: [] })
    let text = ''
    for (;;) {
      const piece = await ended.reader?.read()
      if (!piece || piece.done) break
      text += piece.value
    }
    expect(text).toContain('key_revoked')
    expect(await gateway.settledRecord(ended.id)).toMatchObject({ records: 1 })
    // The other one is still being answered.
    expect(await Promise.race([left.reader?.read(), new Promise((resolve) => setTimeout(resolve, 300, 'open'))])).toBe(
      'open',
    )
    await left.reader?.cancel()
  })
})

describe('a rate limit', () => {
  test('is set, shows what is taken of it, holds, and goes', async () => {
    gateway.upstream.answer(
      (response) => void response.writeHead(200, { 'content-type': 'application/json' }).end('{}'),
    )
    const { id, secret } = await keyIn(gateway, token, teamId, 'limited')
    const set = await change('rateLimitSet', { ownerId: id, requestsPerMinute: '2' })
    expect(set.rateLimit).toMatchObject({
      requestsPerMinute: '2',
      maxConcurrent: null,
      managedBy: 'ADMIN',
      organization: { slug: 'acme' },
      team: { slug: 'core' },
      apiKey: { name: 'limited' },
      current: { requests: '0', tokens: null },
    })
    await becomes(secret, 429)
    const { data } = await askAdmin(
      gateway,
      `{ node(id: "${id}") { ... on ApiKey { rateLimit { id current { requests } } } } rateLimits { nodes { id } } }`,
      { token },
    )
    expect(data.node.rateLimit).toEqual({ id: set.rateLimit.id, current: { requests: '2' } })
    expect(data.rateLimits.nodes).toContainEqual({ id: set.rateLimit.id })
    const more = await change('rateLimitSet', { ownerId: id, requestsPerMinute: '1000' })
    expect(more.rateLimit.id).toBe(set.rateLimit.id)
    expect(await change('rateLimitRemove', { rateLimitId: set.rateLimit.id })).toEqual({ removed: true, errors: [] })
    expect((await change('rateLimitRemove', { rateLimitId: set.rateLimit.id })).errors[0].__typename).toBe('NotFound')
    expect((await change('rateLimitSet', { ownerId: id })).errors[0].__typename).toBe('InvalidInput')
  })
})

describe('a budget', () => {
  test('is made, holds, is changed with what was spent of it, and goes', async () => {
    const { id, secret } = await keyIn(gateway, token, organizationId, 'with-budget')
    const draft = { ownerId: id, period: 'MONTH', amountNanoUsd: '0', alertThresholdsPercent: [90, 50, 90] }
    const made = await change('budgetCreate', draft)
    expect(made.budget).toMatchObject({
      scope: 'KEY',
      period: 'MONTH',
      mode: 'HARD',
      managedBy: 'ADMIN',
      amount: { usd: '0' },
      alertThresholdsPercent: [50, 90],
    })
    await eventually('the budget to hold', async () => {
      const response = await gateway.chat({}, { key: secret })
      const body = (await response.json()) as { error?: { code: string } }
      return body.error?.code === 'budget_exceeded'
    })
    expect((await change('budgetCreate', draft)).errors).toMatchObject([
      { __typename: 'Conflict', path: ['input', 'period'] },
    ])
    const changed = await change('budgetUpdate', {
      budgetId: made.budget.id,
      amountNanoUsd: '5000000000',
      mode: 'SOFT',
    })
    expect(changed.budget).toMatchObject({ mode: 'SOFT', amount: { usd: '5' }, alertThresholdsPercent: [50, 90] })
    await eventually('calls to pass', async () => (await gateway.chat({}, { key: secret })).status !== 429)
    const standing = await eventually('its period to have the new limit', async () => {
      const { data } = await askAdmin(
        gateway,
        `{ node(id: "${made.budget.id}") { ... on Budget { periodStart periodEnd periods { nodes { start end limit { usd } } } } } }`,
        { token },
      )
      return data.node.periods.nodes[0]?.limit.usd === '5' && data.node
    })
    expect(standing.periods.nodes).toEqual([
      { start: standing.periodStart, end: standing.periodEnd, limit: { usd: '5' } },
    ])
    expect(await change('budgetDelete', { budgetId: made.budget.id })).toEqual({ deleted: true, errors: [] })
  })

  test('may be of a tag, in an organization or anywhere', async () => {
    const tag = { name: 'feature', value: 'search' }
    const anywhere = await change('budgetCreate', { tag, period: 'DAY', amountNanoUsd: '1' })
    expect(anywhere.budget).toMatchObject({ scope: 'TAG', tag: { name: 'feature' } })
    const here = await change('budgetCreate', { ownerId: organizationId, tag, period: 'DAY', amountNanoUsd: '1' })
    expect(here.errors).toEqual([])
    const answer = await askAdmin(gateway, documents.budgetCreate, {
      token,
      variables: { input: { ownerId: teamId, tag, period: 'DAY', amountNanoUsd: '1' } },
    })
    expect(answer.errors?.[0]?.extensions.code).toBe('BAD_USER_INPUT')
    const zone = await change('budgetCreate', { ownerId: teamId, period: 'DAY', amountNanoUsd: '1', timeZone: 'Mars' })
    expect(zone.errors).toMatchObject([{ path: ['input', 'timeZone'] }])
  })
})
