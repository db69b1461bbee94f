import { generateKeyPairSync } from 'node:crypto'
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type AdminAnswer,
  administrator,
  adminUrl,
  askAdmin,
  followSetupLink,
  memberOf,
  signedIn,
  signIn,
  tenantOf,
} from '../support/admin.ts'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'

let gateway: TestGateway
let root: string
beforeAll(async () => {
  gateway = await openTestGateway()
  expect((await followSetupLink(gateway)).data.firstAdministratorCreate).toEqual({ created: true, errors: [] })
  root = await signedIn(gateway)
})
afterAll(() => gateway.close())

const viewer = async (token: string) => askAdmin(gateway, '{ viewer { kind name roles { role } } }', { token })
const isIn = async (token: string): Promise<boolean> => (await viewer(token)).data?.viewer !== undefined

const pages = { 'x-llmgw-csrf': '1' }
const cookieIn = ({ headers }: AdminAnswer): string => headers.get('set-cookie')?.split(';')[0] ?? ''
const refresh = (cookie: string, headers: object = { ...pages, origin: adminUrl(gateway) }) =>
  askAdmin(gateway, 'mutation { sessionRefresh { accessToken errors { __typename } } }', {
    headers: { cookie, ...headers },
  })

describe('the first administrator', () => {
  test('has every right, and the link that made the account works no more', async () => {
    expect((await viewer(root)).data.viewer).toEqual({
      kind: 'ADMIN_USER',
      name: administrator.email,
      roles: [{ role: 'ADMIN' }],
    })
    expect((await followSetupLink(gateway)).data.firstAdministratorCreate).toMatchObject({
      created: false,
      errors: [{ __typename: 'SetupNotOpen' }],
    })
  })

  test('is made on a page that brings all it needs along', async () => {
    const page = await fetch(`${adminUrl(gateway)}/setup`)
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
    expect(page.headers.get('content-security-policy')).toBe("default-src 'self'; frame-ancestors 'none'")
    const text = await page.text()
    const parts = [...text.matchAll(/(?:href|src)="([^"]+)"/g)].map(([, path]) => path ?? '')
    expect(parts.sort()).toEqual(['/playground/', '/setup.css', '/setup.js'])
    for (const path of parts) expect((await fetch(`${adminUrl(gateway)}${path}`)).status).toBe(200)
    expect(text).not.toMatch(/<script(?![^>]*src)|style=|\son\w+=/)
  })

  test('may come from the environment, and has to have a password worth the name', async () => {
    const environment = {
      LLMGW_BOOTSTRAP_ADMIN_EMAIL: 'Ops@Example.com',
      LLMGW_BOOTSTRAP_ADMIN_PASSWORD: 'a long enough password',
    }
    await using other = await openTestGateway({ environment })
    expect(other.app.notices.setupToken).toBeUndefined()
    expect(await signedIn(other, { email: 'ops@example.com', password: 'a long enough password' })).toBeTypeOf('string')
    const short = openTestGateway({ environment: { ...environment, LLMGW_BOOTSTRAP_ADMIN_PASSWORD: 'short' } })
    await expect(short).rejects.toThrow('LLMGW_BOOTSTRAP_ADMIN_PASSWORD: expected 12 to 128 characters')
  })
})

describe('signing in', () => {
  test('does not tell whether there is such an account', async () => {
    const wrong = await signIn(gateway, administrator.email, 'a wrong password')
    const unknown = await signIn(gateway, 'nobody@example.com', 'a wrong password')
    expect(wrong.data).toEqual(unknown.data)
    expect(wrong.data.sessionSignIn).toMatchObject({ accessToken: null, errors: [{ __typename: 'WrongCredentials' }] })
    expect(cookieIn(wrong)).toBe('')
  })

  test('is put off after five failures for an account from one address', async () => {
    const types: string[] = []
    for (let attempt = 0; attempt < 7; attempt++) {
      const { data } = await signIn(gateway, 'guessed@example.com', `guess ${attempt}`)
      types.push(data.sessionSignIn.errors[0].__typename)
    }
    expect(types).toEqual([...Array(5).fill('WrongCredentials'), 'TooManyAttempts', 'TooManyAttempts'])
    expect(await signedIn(gateway)).toBeTypeOf('string')
  })

  test('as a service takes its name and token, until that is revoked', async () => {
    const made = await askAdmin(
      gateway,
      'mutation { serviceTokenCreate(input: { serviceName: "ci" }) { serviceToken { id } token } }',
      { token: root },
    )
    const { serviceToken, token } = made.data.serviceTokenCreate
    const asService = () =>
      askAdmin(
        gateway,
        'mutation ($input: SessionSignInAsServiceInput!) { sessionSignInAsService(input: $input) { accessToken errors { __typename } } }',
        { variables: { input: { serviceName: 'ci', token } } },
      )
    const { accessToken } = (await asService()).data.sessionSignInAsService
    expect((await viewer(accessToken)).data.viewer).toEqual({ kind: 'SERVICE', name: 'ci', roles: [] })
    await askAdmin(
      gateway,
      `mutation { serviceTokenRevoke(input: { serviceTokenId: "${serviceToken.id}" }) { serviceToken { revokedAt } } }`,
      { token: root },
    )
    expect(await isIn(accessToken)).toBe(false)
    expect((await asService()).data.sessionSignInAsService.errors).toEqual([{ __typename: 'WrongCredentials' }])
  })
})

describe('an access token', () => {
  test('is an EdDSA JWT of ten minutes that others can check', async () => {
    const keys = createRemoteJWKSet(new URL(`${adminUrl(gateway)}/.well-known/jwks.json`))
    const { payload, protectedHeader } = await jwtVerify(root, keys, { issuer: 'llmgw', audience: 'llmgw-admin' })
    expect(protectedHeader).toEqual({ alg: 'EdDSA', typ: 'at+jwt', kid: expect.any(String) })
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBeGreaterThanOrEqual(599)
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBeLessThanOrEqual(601)
    expect(JSON.stringify(payload)).not.toContain('ADMIN')
    const { headers } = await fetch(`${adminUrl(gateway)}/.well-known/jwks.json`)
    expect(headers.get('cache-control')).toBe('public, max-age=300')
  })

  test('of any other making lets nobody in', async () => {
    const [head = '', body = '', signature = ''] = root.split('.')
    const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const header = decodeProtectedHeader(root)
    const payload = decodeJwt(root)
    const { keys } = (await (await fetch(`${adminUrl(gateway)}/.well-known/jwks.json`)).json()) as {
      keys: { x: string; kid: string }[]
    }
    const publicKey = Buffer.from(keys[0]?.x ?? '', 'base64url')
    const hmac = await new SignJWT(payload).setProtectedHeader({ ...header, alg: 'HS256' }).sign(publicKey)
    const own = generateKeyPairSync('ed25519')
    const foreign = await new SignJWT(payload).setProtectedHeader({ ...header, alg: 'EdDSA' }).sign(own.privateKey)
    const withKey = await new SignJWT(payload)
      .setProtectedHeader({ ...header, alg: 'EdDSA', jwk: own.publicKey.export({ format: 'jwk' }) as never })
      .sign(own.privateKey)
    const forged = [
      `${head}.${encoded({ ...payload, sub: 'somebody-else' })}.${signature}`,
      `${encoded({ ...header, alg: 'none' })}.${body}.`,
      `${encoded({ ...header, typ: 'JWT' })}.${body}.${signature}`,
      `${encoded({ ...header, crit: ['x'], x: 1 })}.${body}.${signature}`,
      hmac,
      foreign,
      withKey,
      `${root}${'A'.repeat(4_096)}`,
      gateway.keySecret,
      'no token at all',
    ]
    for (const token of forged) {
      const answer = await viewer(token)
      expect([answer.status, answer.errors?.[0]?.extensions.code]).toEqual([401, 'UNAUTHENTICATED'])
    }
    expect(await isIn(root)).toBe(true)
  })
})

describe('a session', () => {
  test('is refreshed with a cookie of its own, once; repeated at once it gives the same again', async () => {
    const first = cookieIn(await signIn(gateway, administrator.email, administrator.password))
    expect(first).toMatch(/^__Host-llmgw-refresh=[\w-]{43}$/)
    const second = await refresh(first)
    expect(await isIn(second.data.sessionRefresh.accessToken)).toBe(true)
    expect(second.headers.get('set-cookie')).toMatch(/; Path=\/; HttpOnly; Secure; SameSite=Strict; Max-Age=43200$/)
    expect(cookieIn(await refresh(first))).toBe(cookieIn(second))
    expect((await refresh(cookieIn(second))).data.sessionRefresh.errors).toEqual([])
  })

  test('ends with all that it has when a refresh token is used again that was passed by', async () => {
    const first = cookieIn(await signIn(gateway, administrator.email, administrator.password))
    const second = await refresh(first)
    const third = await refresh(cookieIn(second))
    expect((await refresh(first)).data.sessionRefresh.errors).toEqual([{ __typename: 'SessionEnded' }])
    for (const answer of [second, third]) expect(await isIn(answer.data.sessionRefresh.accessToken)).toBe(false)
    expect((await refresh(cookieIn(third))).data.sessionRefresh.errors).toEqual([{ __typename: 'SessionEnded' }])
    const { rows } = await gateway.pool.query(`select from audit_events where action = 'session.refresh_reused'`)
    expect(rows).toHaveLength(1)
  })

  test.each([
    ['another origin', { ...pages, origin: 'https://evil.example' }],
    ['no origin', pages],
    ['no header that a form cannot send', { origin: 'own' }],
  ])('is not refreshed for %s', async (_what, headers) => {
    const cookie = cookieIn(await signIn(gateway, administrator.email, administrator.password))
    const own = 'origin' in headers && headers.origin === 'own' ? { ...headers, origin: adminUrl(gateway) } : headers
    expect((await refresh(cookie, own)).errors?.[0]?.extensions.code).toBe('FORBIDDEN')
    expect((await refresh(cookie)).data.sessionRefresh.errors).toEqual([])
  })

  test('ends at once when its owner signs out, here or everywhere, or another session ends it', async () => {
    const [one, two, three] = [await signedIn(gateway), await signedIn(gateway), await signedIn(gateway)]
    await askAdmin(gateway, 'mutation { sessionSignOut { ended } }', { token: one })
    expect([await isIn(one), await isIn(two)]).toEqual([false, true])
    const { data } = await askAdmin(gateway, '{ viewer { sessions { id isCurrent } } }', { token: two })
    const current = data.viewer.sessions.find((session: { isCurrent: boolean }) => session.isCurrent)
    await askAdmin(gateway, `mutation { sessionEnd(input: { sessionId: "${current.id}" }) { ended } }`, {
      token: three,
    })
    expect([await isIn(two), await isIn(three)]).toEqual([false, true])
    const everywhere = await askAdmin(gateway, 'mutation { sessionSignOutEverywhere { ended } }', { token: three })
    expect(everywhere.data.sessionSignOutEverywhere.ended).toBeGreaterThan(0)
    expect([await isIn(three), await isIn(root)]).toEqual([false, false])
    root = await signedIn(gateway)
  })

  test('goes on when its owner changes the password in it, and all others end', async () => {
    const account = { email: 'changer@example.com', password: 'password of changer' }
    const kept = await memberOf(gateway, root, 'changer', 'VIEWER')
    const other = await signedIn(gateway, account)
    const change = (currentPassword: string, newPassword: string) =>
      askAdmin(
        gateway,
        'mutation ($input: PasswordChangeInput!) { passwordChange(input: $input) { changed errors { __typename } } }',
        { token: kept, variables: { input: { currentPassword, newPassword } } },
      )
    const wrong = await change('not the password', 'another long password')
    expect(wrong.data.passwordChange).toEqual({ changed: false, errors: [{ __typename: 'WrongCredentials' }] })
    expect((await change(account.password, 'short')).data.passwordChange.errors[0].__typename).toBe('InvalidInput')
    expect((await change(account.password, 'another long password')).data.passwordChange.changed).toBe(true)
    expect([await isIn(kept), await isIn(other)]).toEqual([true, false])
    expect((await signIn(gateway, account.email, account.password)).data.sessionSignIn.accessToken).toBeNull()
    expect(await signedIn(gateway, { ...account, password: 'another long password' })).toBeTypeOf('string')
  })

  test('ends when its account is disabled, and the last administrator cannot be', async () => {
    const token = await memberOf(gateway, root, 'leaver', 'EDITOR')
    const { data } = await askAdmin(gateway, '{ adminUsers { nodes { id email } } }', { token: root })
    const idOf = (email: string) => data.adminUsers.nodes.find((user: { email: string }) => user.email === email).id
    const disable = (email: string) =>
      askAdmin(
        gateway,
        `mutation { adminUserSetEnabled(input: { adminUserId: "${idOf(email)}", enabled: false }) {
          adminUser { disabledAt } errors { __typename } } }`,
        { token: root },
      )
    expect((await disable('leaver@example.com')).data.adminUserSetEnabled.errors).toEqual([])
    expect(await isIn(token)).toBe(false)
    expect(
      (await signIn(gateway, 'leaver@example.com', 'password of leaver')).data.sessionSignIn.accessToken,
    ).toBeNull()
    const last = await disable(administrator.email)
    expect(last.data.adminUserSetEnabled).toEqual({ adminUser: null, errors: [{ __typename: 'Conflict' }] })
    expect(await isIn(root)).toBe(true)
  })
})

test('no secret of an account is in the log or in the database as it is', async () => {
  const text = JSON.stringify(gateway.logLines)
  expect(text).not.toContain(administrator.password)
  const { rows } = await gateway.pool.query('select * from admin_users')
  expect(JSON.stringify(rows)).not.toContain(administrator.password)
  expect(rows[0].password_hash).toMatch(/^\$argon2id\$v=19\$m=65536,t=3,p=1\$/)
})

describe('a password that an administrator sets', () => {
  test('lets its owner in, ends what was signed in, and is one that may be', async () => {
    const root = await signedIn(gateway)
    const old = await memberOf(gateway, root, 'forgetful', 'VIEWER')
    const { data } = await askAdmin(gateway, '{ adminUsers(search: "forgetful") { nodes { id } } }', { token: root })
    const set = (password: string) =>
      askAdmin(
        gateway,
        'mutation ($i: AdminUserSetPasswordInput!) { adminUserSetPassword(input: $i) { adminUser { email } errors { __typename } } }',
        { token: root, variables: { i: { adminUserId: data.adminUsers.nodes[0].id, password } } },
      )
    expect((await set('short')).data.adminUserSetPassword.errors).toEqual([{ __typename: 'InvalidInput' }])
    expect((await set('another password of forgetful')).data.adminUserSetPassword.errors).toEqual([])
    expect((await askAdmin(gateway, '{ viewer { name } }', { token: old })).status).toBe(401)
    await signedIn(gateway, { email: 'forgetful@example.com', password: 'another password of forgetful' })
    const before = await signIn(gateway, 'forgetful@example.com', 'password of forgetful')
    expect(before.data.sessionSignIn.accessToken).toBeNull()
  })

  test('of a tenant the name may change, and its slug stays', async () => {
    const root = await signedIn(gateway)
    const { organizationId, teamId } = await tenantOf(gateway, root, 'renamed')
    const answer = await askAdmin(
      gateway,
      `mutation { organizationUpdate(input: { organizationId: "${organizationId}", name: "New" }) { organization { slug name } }
        teamUpdate(input: { teamId: "${teamId}", name: "Newer" }) { team { slug name } } }`,
      { token: root },
    )
    expect(answer.data).toEqual({
      organizationUpdate: { organization: { slug: 'renamed', name: 'New' } },
      teamUpdate: { team: { slug: 'core', name: 'Newer' } },
    })
  })
})
