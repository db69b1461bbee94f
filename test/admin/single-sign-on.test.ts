import { afterAll, beforeAll, expect, test } from 'vitest'
import { adminUrl, askAdmin, followSetupLink, signedIn, tenantOf } from '../support/admin.ts'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'
import {
  clientId,
  clientSecret,
  type Identity,
  type IdentityProvider,
  startIdentityProvider,
} from '../support/identity-provider.ts'

const redirectUri = 'http://127.0.0.1:8081/oidc/callback'

let provider: IdentityProvider
let gateway: TestGateway
let root: string
beforeAll(async () => {
  provider = await startIdentityProvider(redirectUri)
  gateway = await openTestGateway({ file: { adminSignIn: { oidc: settings() } } })
  await followSetupLink(gateway)
  root = await signedIn(gateway)
  await tenantOf(gateway, root, 'acme')
})
afterAll(async () => {
  await gateway?.close()
  await provider?.[Symbol.asyncDispose]()
})

const settings = (more: object = {}) => ({
  name: 'Example',
  issuer: provider.issuer,
  clientId,
  clientSecret,
  redirectUri,
  roles: [
    { group: 'platform', role: 'admin' },
    { group: 'acme-people', role: 'viewer', organization: 'acme' },
    { group: 'acme-core', role: 'editor', organization: 'acme', team: 'core' },
    { group: 'of-nobody', role: 'viewer', organization: 'vanished' },
  ],
  ...more,
})

/** What a browser keeps and sends along, as far as these sites need it. */
function openBrowser() {
  const cookies = new Map<string, Map<string, string>>()
  const get = async (url: string): Promise<Response> => {
    const { origin } = new URL(url)
    const own = cookies.get(origin) ?? new Map<string, string>()
    cookies.set(origin, own)
    const cookie = [...own].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await fetch(url, { headers: { cookie }, redirect: 'manual' })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (value === '') own.delete(name)
      else own.set(name, value)
    }
    return response
  }
  return { get, cookies: () => cookies.get(adminUrl(gateway)) ?? new Map<string, string>() }
}

/** As the redirect URI would lead to, were the gateway at its usual port. */
const atGateway = (location: string): string => location.replace('http://127.0.0.1:8081', adminUrl(gateway))

/** Follows redirects until the gateway was come back to. @returns its answer */
async function goThrough(browser: ReturnType<typeof openBrowser>, returnTo = ''): Promise<Response> {
  let response = await browser.get(`${adminUrl(gateway)}/oidc/start${returnTo}`)
  for (let hops = 0; hops < 10; hops++) {
    const location = response.headers.get('location')
    if (!location) return response
    const next = atGateway(new URL(location, response.url).href)
    const isBack = next.startsWith(`${adminUrl(gateway)}/oidc/callback`)
    response = await browser.get(next)
    if (isBack) return response
  }
  throw new Error('It goes round and round.')
}

async function comeIn(identity: Identity) {
  provider.become(identity)
  const browser = openBrowser()
  const response = await goThrough(browser)
  const refresh = browser.cookies().get('__Host-llmgw-refresh')
  if (!refresh) return { response, text: await response.text(), token: undefined }
  const renewed = await askAdmin(gateway, 'mutation { sessionRefresh { accessToken errors { __typename } } }', {
    headers: { cookie: `__Host-llmgw-refresh=${refresh}`, origin: adminUrl(gateway), 'x-llmgw-csrf': '1' },
  })
  return { response, text: '', token: renewed.data.sessionRefresh.accessToken as string }
}

const viewer = async (token: string | undefined) =>
  (await askAdmin(gateway, '{ viewer { name roles { role organizationId teamId } } }', { token })).data?.viewer

const ada: Identity = {
  sub: 'ada-1',
  email: 'ada@example.com',
  email_verified: true,
  name: 'Ada',
  groups: ['acme-people', 'acme-core', 'of-nobody', 'unheard-of'],
}

test('a page is told that one may sign in elsewhere', async () => {
  const { data } = await askAdmin(gateway, '{ signInOptions { singleSignOn { name url } } }')
  expect(data.signInOptions.singleSignOn).toEqual({ name: 'Example', url: '/oidc/start' })
})

test('whoever comes back is let in, with the roles of their groups, and comes back to where they were', async () => {
  provider.become(ada)
  const browser = openBrowser()
  const back = await goThrough(browser, '?returnTo=/playground/')
  expect([back.status, back.headers.get('location')]).toEqual([302, '/playground/'])
  const { token } = await comeIn(ada)
  expect(await viewer(token)).toMatchObject({
    name: 'ada@example.com',
    roles: expect.arrayContaining([
      expect.objectContaining({ role: 'VIEWER', organizationId: expect.any(String), teamId: null }),
      expect.objectContaining({ role: 'EDITOR', organizationId: null, teamId: expect.any(String) }),
    ]),
  })
})

test('roles follow the groups at each sign-in, and one that an administrator has granted stays', async () => {
  const first = await comeIn({ ...ada, groups: ['platform'] })
  expect((await viewer(first.token)).roles).toEqual([{ role: 'ADMIN', organizationId: null, teamId: null }])
  const { data } = await askAdmin(gateway, '{ adminUsers(search: "ada@") { nodes { id } } }', { token: root })
  const granteeId = data.adminUsers.nodes[0].id
  await askAdmin(
    gateway,
    `mutation { roleGrant(input: { granteeId: "${granteeId}", role: VIEWER }) { roleBinding { id } } }`,
    { token: root },
  )
  const second = await comeIn({ ...ada, groups: ['acme-people'] })
  const roles = (await viewer(second.token)).roles.map(({ role }: { role: string }) => role)
  expect(roles.sort()).toEqual(['VIEWER', 'VIEWER'])
  // The session from before has the roles of now.
  expect((await viewer(first.token)).roles).toHaveLength(2)
  const audit = await askAdmin(gateway, '{ auditEvents(filter: { action: "role.sync" }) { nodes { after } } }', {
    token: root,
  })
  expect(audit.data.auditEvents.nodes.length).toBeGreaterThanOrEqual(3)
})

test.each<[string, Partial<Identity>, RegExp]>([
  ['in no group of the list', { sub: 'bob', email: 'bob@example.com', groups: ['unheard-of'] }, /None of your groups/],
  [
    'in a group of an organization that is not there',
    { sub: 'bob', email: 'bob@example.com', groups: ['of-nobody'] },
    /None of your groups/,
  ],
  ['without an email address', { sub: 'eve', groups: ['platform'], email: undefined as never }, /no email address/],
  [
    'with the unverified address of somebody who is here',
    { sub: 'mallory', email: 'root@example.com', email_verified: false, groups: ['platform'] },
    /has not verified/,
  ],
  [
    'with the address of another account of the provider',
    { sub: 'mallory', email: 'ada@example.com', email_verified: true, groups: ['platform'] },
    /belongs to another account/,
  ],
])('nobody is let in %s', async (_who, identity, words) => {
  const given = Object.fromEntries(
    Object.entries({ name: 'X', ...identity }).filter(([, value]) => value !== undefined),
  )
  const { response, text, token } = await comeIn(given as unknown as Identity)
  expect([response.status, token]).toEqual([403, undefined])
  expect(text).toMatch(words)
})

test('an account that was there comes to be the same person, once its address is verified', async () => {
  const { token } = await comeIn({
    sub: 'root-1',
    email: 'root@example.com',
    email_verified: true,
    groups: ['acme-people'],
  })
  const found = await viewer(token)
  expect(found.name).toBe('root@example.com')
  expect(found.roles.map(({ role }: { role: string }) => role).sort()).toEqual(['ADMIN', 'VIEWER'])
})

test('who is disabled here is not let in', async () => {
  const carl: Identity = { sub: 'carl', email: 'carl@example.com', email_verified: true, groups: ['acme-people'] }
  expect((await comeIn(carl)).token).toEqual(expect.any(String))
  const { data } = await askAdmin(gateway, '{ adminUsers(search: "carl@") { nodes { id } } }', { token: root })
  await askAdmin(
    gateway,
    `mutation { adminUserSetEnabled(input: { adminUserId: "${data.adminUsers.nodes[0].id}", enabled: false }) { errors { __typename } } }`,
    { token: root },
  )
  expect((await comeIn(carl)).text).toMatch(/may not sign in/)
})

test('what is brought back counts once, in the browser that has begun, and only with what it was begun with', async () => {
  provider.become(ada)
  const browser = openBrowser()
  let response = await browser.get(`${adminUrl(gateway)}/oidc/start`)
  const asked = new URL(response.headers.get('location') ?? '')
  expect(Object.fromEntries(asked.searchParams)).toMatchObject({
    client_id: clientId,
    code_challenge_method: 'S256',
    code_challenge: expect.stringMatching(/^[\w-]{43}$/),
    nonce: expect.any(String),
    redirect_uri: redirectUri,
  })
  let callback = ''
  while (!callback) {
    const location = new URL(response.headers.get('location') ?? '', response.url).href
    if (location.startsWith(redirectUri)) callback = atGateway(location)
    else response = await browser.get(location)
  }
  const elsewhere = await openBrowser().get(callback)
  expect([elsewhere.status, await elsewhere.text()]).toEqual([
    403,
    expect.stringContaining('not begun in this browser'),
  ])
  const forged = new URL(callback)
  forged.searchParams.set('state', 'x'.repeat(43))
  expect((await browser.get(forged.href)).status).toBe(403)
})

test.each(['//evil.example', 'https://evil.example', '/\\evil.example', '/%5Cevil.example%0d%0a'])(
  'nobody is sent to %s',
  async (returnTo) => {
    provider.become(ada)
    const back = await goThrough(openBrowser(), `?returnTo=${encodeURIComponent(returnTo)}`)
    expect([back.status, back.headers.get('location')]).toEqual([302, '/playground/'])
  },
)

test('a provider that is away is said to be', async () => {
  await gateway.reload({ adminSignIn: { oidc: settings({ issuer: 'http://127.0.0.1:1' }) } })
  const response = await fetch(`${adminUrl(gateway)}/oidc/start`, { redirect: 'manual' })
  expect([response.status, await response.text()]).toEqual([503, expect.stringContaining('cannot be reached')])
  expect(gateway.logLines.some(({ message }) => message === 'The identity provider cannot be used.')).toBe(true)
  await gateway.reload({})
  const none = await fetch(`${adminUrl(gateway)}/oidc/start`, { redirect: 'manual' })
  expect([none.status, await none.text()]).toEqual([503, expect.stringContaining('no identity provider')])
})
