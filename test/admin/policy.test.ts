import { randomUUID } from 'node:crypto'
import { isObjectType } from 'graphql'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { toGlobalId } from '../../src/admin/global-ids.ts'
import { policy } from '../../src/admin/policy.ts'
import { adminSchema } from '../../src/admin/schema.ts'
import { askAdmin, followSetupLink, keyIn, memberOf, signedIn, tenantOf } from '../support/admin.ts'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'

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

/** Whoever the roles and places of the matrix are about. */
const members = {
  'viewer everywhere': ['VIEWER', undefined],
  'editor everywhere': ['EDITOR', undefined],
  'viewer of the organization': ['VIEWER', 'organization'],
  'editor of the organization': ['EDITOR', 'organization'],
  'administrator of the organization': ['ADMIN', 'organization'],
  'viewer of the team': ['VIEWER', 'team'],
  'editor of the team': ['EDITOR', 'team'],
  'administrator of another organization': ['ADMIN', 'other'],
} as const
type Member = keyof typeof members | 'stranger' | 'administrator everywhere'

/** done; hidden (as if it were not there); forbidden; or who one is has to be said first. */
type Outcome = 'done' | 'hidden' | 'forbidden' | 'unauthenticated'

interface Operation {
  document: string
  /** For everybody who is not named: the outcome. */
  otherwise: Outcome
  outcomes?: Partial<Record<Member, Outcome>>
}

const everybody: Operation['outcomes'] = { stranger: 'unauthenticated' }
const administrators: Operation['outcomes'] = { stranger: 'unauthenticated', 'administrator everywhere': 'done' }

const viewersOfAll: Operation['outcomes'] = {
  ...administrators,
  'viewer everywhere': 'done',
  'editor everywhere': 'done',
}

/** On a key of the team: its editors, and who is above them. */
const keyEditors: Operation['outcomes'] = {
  stranger: 'unauthenticated',
  'administrator everywhere': 'done',
  'editor everywhere': 'done',
  'editor of the organization': 'done',
  'administrator of the organization': 'done',
  'editor of the team': 'done',
  'administrator of another organization': 'hidden',
}

/** On the organization itself: its administrators; a team sees the organization it is in. */
const organizationAdministrators: Operation['outcomes'] = {
  stranger: 'unauthenticated',
  'administrator everywhere': 'done',
  'administrator of the organization': 'done',
  'administrator of another organization': 'hidden',
}

/** Every field of Query and Mutation that needs a viewer, with ids as $team and the like. */
const operations: Readonly<Record<string, Operation>> = {
  'Query.node': {
    document: '{ node(id: "$key") { id } }',
    otherwise: 'done',
    outcomes: { stranger: 'unauthenticated', 'administrator of another organization': 'hidden' },
  },
  'Query.viewer': { document: '{ viewer { name } }', otherwise: 'done', outcomes: everybody },
  'Query.organizations': { document: '{ organizations { nodes { id } } }', otherwise: 'done', outcomes: everybody },
  'Query.apiKeys': { document: '{ apiKeys { nodes { id } } }', otherwise: 'done', outcomes: everybody },
  'Query.usageRecords': { document: '{ usageRecords { nodes { id } } }', otherwise: 'done', outcomes: everybody },
  'Query.usageStatistics': {
    document: '{ usageStatistics(since: "2026-01-01T00:00:00Z") { isTruncated } }',
    otherwise: 'done',
    outcomes: everybody,
  },
  'Query.auditEvents': { document: '{ auditEvents { nodes { id } } }', otherwise: 'done', outcomes: everybody },
  'Query.budgets': { document: '{ budgets { nodes { id } } }', otherwise: 'done', outcomes: everybody },
  'Query.providers': {
    document: '{ providers { nodes { name } } }',
    otherwise: 'forbidden',
    outcomes: viewersOfAll,
  },
  'Query.aliases': { document: '{ aliases { nodes { name } } }', otherwise: 'forbidden', outcomes: viewersOfAll },
  'Query.configVersions': {
    document: '{ configVersions { nodes { version } } }',
    otherwise: 'forbidden',
    outcomes: viewersOfAll,
  },
  'Query.replicas': { document: '{ replicas { nodes { id } } }', otherwise: 'forbidden', outcomes: viewersOfAll },
  'Mutation.budgetRaise': {
    document:
      'mutation { budgetRaise(input: { budgetId: "$budget", amountNanoUsd: "0", until: "2030-01-01T00:00:00Z" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: keyEditors,
  },
  'Query.models': { document: '{ models(first: 1) { nodes { id } } }', otherwise: 'done', outcomes: everybody },
  'Query.model': { document: '{ model(id: "$team") { id } }', otherwise: 'hidden', outcomes: everybody },
  'Query.adminUsers': {
    document: '{ adminUsers { nodes { id } } }',
    otherwise: 'forbidden',
    outcomes: administrators,
  },
  'Query.serviceTokens': {
    document: '{ serviceTokens { nodes { id } } }',
    otherwise: 'forbidden',
    outcomes: administrators,
  },
  'Mutation.sessionEnd': {
    document: 'mutation { sessionEnd(input: { sessionId: "none" }) { ended } }',
    otherwise: 'done',
    outcomes: everybody,
  },
  'Mutation.passwordChange': {
    document:
      'mutation { passwordChange(input: { currentPassword: "x", newPassword: "short" }) { changed errors { __typename } } }',
    otherwise: 'done',
    outcomes: everybody,
  },
  'Mutation.adminUserCreate': {
    document:
      'mutation { adminUserCreate(input: { email: "no", displayName: "x", password: "x" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: administrators,
  },
  'Mutation.adminUserSetEnabled': {
    document:
      'mutation { adminUserSetEnabled(input: { adminUserId: "$user", enabled: true }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: administrators,
  },
  'Mutation.serviceTokenCreate': {
    document: 'mutation { serviceTokenCreate(input: { serviceName: "not a name" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: administrators,
  },
  'Mutation.serviceTokenRevoke': {
    document: 'mutation { serviceTokenRevoke(input: { serviceTokenId: "$service" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: administrators,
  },
  'Mutation.organizationCreate': {
    document: 'mutation { organizationCreate(input: { slug: "NOT A SLUG", name: "x" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: administrators,
  },
  'Mutation.teamCreate': {
    document:
      'mutation { teamCreate(input: { organizationId: "$organization", slug: "NOT A SLUG", name: "x" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: organizationAdministrators,
  },
  'Mutation.roleGrant': {
    document:
      'mutation { roleGrant(input: { granteeId: "$user", role: VIEWER, scopeId: "$organization" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: organizationAdministrators,
  },
  'Mutation.roleRevoke': {
    document: 'mutation { roleRevoke(input: { roleBindingId: "$binding" }) { revoked errors { __typename } } }',
    // It holds everywhere, so it can be seen from everywhere alone.
    otherwise: 'hidden',
    outcomes: { ...administrators, 'viewer everywhere': 'forbidden', 'editor everywhere': 'forbidden' },
  },
  'Mutation.apiKeyCreate': {
    document: 'mutation { apiKeyCreate(input: { ownerId: "$team", name: "" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: keyEditors,
  },
  'Mutation.apiKeySetEnabled': {
    document: 'mutation { apiKeySetEnabled(input: { apiKeyId: "$key", enabled: true }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: keyEditors,
  },
  'Mutation.apiKeyRevoke': {
    document: 'mutation { apiKeyRevoke(input: { apiKeyId: "$key" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: keyEditors,
  },
}

/** Those that strangers may use are about accounts of their own, and have a suite to themselves; so has leaving. */
const elsewhere = new Set(
  Object.entries(policy)
    .filter(([, rule]) => rule === 'anyone')
    .map(([name]) => name)
    .concat('Mutation.sessionSignOut', 'Mutation.sessionSignOutEverywhere'),
)

describe('the matrix of fields, roles and places', () => {
  let gateway: TestGateway
  const tokens = new Map<Member, string | undefined>([['stranger', undefined]])
  const ids = new Map<string, string>()
  beforeAll(async () => {
    gateway = await openTestGateway()
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
    const budgetId = randomUUID()
    await gateway.pool.query(
      `insert into budgets (id, team_id, amount_nano, period, mode, managed_by)
       select $1, t.id, 1000, 'month', 'hard', 'admin' from teams t join organizations o on o.id = t.organization_id
       where o.slug = 'acme'`,
      [budgetId],
    )
    ids.set('budget', toGlobalId('Budget', budgetId))
    ids.set('organization', organizationId)
    ids.set('team', teamId)
    ids.set('key', (await keyIn(gateway, root, teamId, 'of-the-team')).id)
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
