import { randomUUID } from 'node:crypto'
import { isObjectType } from 'graphql'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { idOf, toGlobalId } from '../../src/admin/global-ids.ts'
import { policy } from '../../src/admin/policy.ts'
import { adminSchema } from '../../src/admin/schema.ts'
import { askAdmin, followSetupLink, keyIn, memberOf, signedIn, tenantOf } from '../support/admin.ts'
import { subscribe } from '../support/admin-subscription.ts'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'
import { elsewhere, type Member, members, type Operation, type Outcome, operations, subscriptions } from './matrix.ts'

describe('a start', () => {
  test.each(['Query.apiKeys', 'Mutation.roleGrant', 'ApiKey.last4', 'ApiKeyCreatePayload.secret'])(
    'is refused without a rule for %s, which is named',
    (field) => {
      const { [field]: _removed, ...rest } = policy
      expect(() => adminSchema(rest)).toThrow(`${field} has no rule`)
    },
  )

  test('is refused with a rule for what is no field', () => {
    expect(() => adminSchema({ ...policy, 'Query.everything': 'anyone' })).toThrow('Query.everything has a rule')
  })
})

/** A subscription that nobody has refused goes on. */
function outcomeOf(refusal: unknown): Outcome {
  if ((refusal as { code?: number } | undefined)?.code === 4401) return 'unauthenticated'
  const text = JSON.stringify(refusal ?? null)
  if (text.includes('FORBIDDEN')) return 'forbidden'
  if (text.includes('There is no such')) return 'hidden'
  if (refusal !== undefined) throw new Error(text)
  return 'done'
}

describe('the matrix of fields, roles and places', () => {
  let gateway: TestGateway
  const tokens = new Map<Member, string | undefined>([['stranger', undefined]])
  const ids = new Map<string, string>()
  beforeAll(async () => {
    // Nobody outside is asked for prices.
    gateway = await openTestGateway({ file: { catalog: { sync: 'off', url: 'http://127.0.0.1:1' } } })
    await followSetupLink(gateway)
    const root = await signedIn(gateway)
    tokens.set('administrator everywhere', root)
    const { organizationId, teamId } = await tenantOf(gateway, root, 'acme')
    const other = await tenantOf(gateway, root, 'globex')
    const places = { organization: organizationId, team: teamId, other: other.organizationId }
    for (const [name, [role, place]] of Object.entries(members)) {
      const account = name.replaceAll(' ', '-')
      tokens.set(name as Member, await memberOf(gateway, root, account, role, place && places[place]))
    }
    const { data } = await askAdmin(
      gateway,
      `{ adminUsers(search: "editor-of-the-team") { nodes { id } } adminUsers2: adminUsers(search: "viewer-everywhere") {
        nodes { roles { id } } } }`,
      { token: root },
    )
    ids.set('key', (await keyIn(gateway, root, teamId, 'of-the-team')).id)
    const requestId = randomUUID()
    await gateway.pool.query(
      `insert into usage_records (request_id, reserved_at, organization_id, team_id, key_id, operation, door,
         requested_model, state, owner_replica)
       select $1, now(), k.organization_id, k.team_id, k.id, 'chat', 'rest', 'm', 'settled', 'r' from api_keys k where k.id = $2`,
      [requestId, idOf('ApiKey', ids.get('key') ?? '')],
    )
    ids.set('request', requestId)
    const budgetId = randomUUID()
    await gateway.pool.query(
      `insert into budgets (id, team_id, amount_nano, period, mode, managed_by)
       select $1, t.id, 1000, 'month', 'hard', 'admin' from teams t join organizations o on o.id = t.organization_id
       where o.slug = 'acme'`,
      [budgetId],
    )
    ids.set('budget', toGlobalId('Budget', budgetId))
    const [budgetOfFile, limit] = [randomUUID(), randomUUID()]
    await gateway.pool.query(
      `insert into budgets (id, team_id, amount_nano, period, mode, managed_by)
       select $1, b.team_id, 1000, 'week', 'hard', 'file' from budgets b where b.id = $2`,
      [budgetOfFile, budgetId],
    )
    await gateway.pool.query(
      `insert into rate_limits (id, api_key_id, max_concurrent, managed_by)
       select $1, k.id, 1000, 'file' from api_keys k where k.id = $2`,
      [limit, idOf('ApiKey', ids.get('key') ?? '')],
    )
    ids.set('budgetOfFile', toGlobalId('Budget', budgetOfFile))
    ids.set('limit', toGlobalId('RateLimit', limit))
    ids.set('organization', organizationId)
    ids.set('team', teamId)
    ids.set('user', data.adminUsers.nodes[0].id)
    const service = await askAdmin(
      gateway,
      'mutation { serviceTokenCreate(input: { serviceName: "ci" }) { serviceToken { id } } }',
      { token: root },
    )
    ids.set('service', service.data.serviceTokenCreate.serviceToken.id)
    ids.set('binding', data.adminUsers2.nodes[0].roles[0].id)
  })
  afterAll(() => gateway.close())

  test('has every field of Query and Mutation', () => {
    const fields = ['Query', 'Mutation'].flatMap((name) => {
      const type = adminSchema().getType(name)
      return isObjectType(type) ? Object.keys(type.getFields()).map((field) => `${name}.${field}`) : []
    })
    expect([...Object.keys(operations), ...elsewhere].sort()).toEqual(fields.sort())
  })

  test('has every field of Subscription', () => {
    const fields = Object.keys(adminSchema().getSubscriptionType()?.getFields() ?? {})
    expect(Object.keys(subscriptions).sort()).toEqual(fields.map((field) => `Subscription.${field}`).sort())
  })

  test.each(Object.keys(subscriptions))('%s', async (name) => {
    const { document, otherwise, outcomes = {} } = subscriptions[name] as Operation
    const query = document.replace(/\$(\w+)/g, (_match, id: string) => ids.get(id) ?? '')
    for (const [member, token] of tokens) {
      const watched = subscribe(gateway, token ?? 'no.token.here', query)
      const refusal = await Promise.race([watched.failure, new Promise((resolve) => setTimeout(resolve, 250))])
      await watched.close()
      expect([member, outcomeOf(refusal)]).toEqual([member, outcomes[member] ?? otherwise])
    }
  })

  const fields = Object.keys(operations).filter((name) => name !== 'Mutation.roleRevoke')
  // Last, for it takes a role away from one of those who ask.
  test.each([...fields, 'Mutation.roleRevoke'])('%s', async (name) => {
    const { document, otherwise, outcomes = {} } = operations[name] as Operation
    const query = document.replace(/\$(\w+)/g, (_match, id: string) => ids.get(id) ?? '')
    const askers = [...tokens.keys()].sort((a, b) => Number(a.startsWith('admin')) - Number(b.startsWith('admin')))
    for (const member of askers) {
      const { data, errors } = await askAdmin(gateway, query, { token: tokens.get(member) })
      const code = errors?.[0]?.extensions.code
      const [answer] = Object.values((data ?? {}) as Record<string, { errors?: { __typename: string }[] } | null>)
      const isHidden = answer === null || answer?.errors?.[0]?.__typename === 'NotFound'
      const outcome = code?.toLowerCase() ?? (isHidden ? 'hidden' : 'done')
      expect([member, outcome]).toEqual([member, outcomes[member] ?? otherwise])
    }
  })
})
