import type { TestGateway } from './gateway.ts'

/** An answer of the admin API, taken apart. */
export interface AdminAnswer {
  status: number
  headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: tests look at all sorts of answers
  data: any
  errors: { message: string; extensions: { code?: string } }[] | undefined
}

export interface AdminCallOptions {
  /** An access token. */
  token?: string | undefined
  headers?: Readonly<Record<string, string>>
  variables?: object
}

export const adminUrl = ({ app }: Pick<TestGateway, 'app'>): string => `http://127.0.0.1:${app.admin.port}`

/** Sends an operation to the admin API. */
export async function askAdmin(
  gateway: Pick<TestGateway, 'app'>,
  query: string,
  { token, headers, variables }: AdminCallOptions = {},
): Promise<AdminAnswer> {
  const response = await fetch(`${adminUrl(gateway)}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...headers,
    },
    body: JSON.stringify({ query, ...(variables && { variables }) }),
  })
  const { data, errors } = (await response.json()) as Pick<AdminAnswer, 'data' | 'errors'>
  return { status: response.status, headers: response.headers, data, errors }
}

export const administrator = { email: 'root@example.com', displayName: 'Root', password: 'correct horse battery' }

export const createFirst = `mutation ($input: FirstAdministratorCreateInput!) {
  firstAdministratorCreate(input: $input) { created errors { __typename ... on UserError { message } } }
}`

export const followSetupLink = (gateway: TestGateway, token = gateway.app.notices.setupToken ?? '') =>
  askAdmin(gateway, createFirst, { variables: { input: { ...administrator, token } } })

export const signInDocument = `mutation ($input: SessionSignInInput!) {
  sessionSignIn(input: $input) { accessToken expiresAt errors { __typename ... on UserError { message } } }
}`

export const signIn = (gateway: Pick<TestGateway, 'app'>, email: string, password: string) =>
  askAdmin(gateway, signInDocument, { variables: { input: { email, password } } })

/** Signs in, for good. @returns an access token */
export async function signedIn(
  gateway: Pick<TestGateway, 'app'>,
  { email, password }: { email: string; password: string } = administrator,
): Promise<string> {
  const { data, errors } = await signIn(gateway, email, password)
  const token = data?.sessionSignIn.accessToken
  if (typeof token !== 'string') throw new Error(`${email} is not let in: ${JSON.stringify(errors ?? data)}`)
  return token
}

/** Makes an account with one role, and signs it in. @param scopeId - undefined is everywhere @returns an access token */
export async function memberOf(
  gateway: TestGateway,
  rootToken: string,
  name: string,
  role: 'VIEWER' | 'EDITOR' | 'ADMIN',
  scopeId?: string,
): Promise<string> {
  const account = { email: `${name}@example.com`, displayName: name, password: `password of ${name}` }
  const made = await askAdmin(
    gateway,
    'mutation ($input: AdminUserCreateInput!) { adminUserCreate(input: $input) { adminUser { id } errors { __typename } } }',
    { token: rootToken, variables: { input: account } },
  )
  const granteeId = made.data.adminUserCreate.adminUser.id
  const granted = await askAdmin(
    gateway,
    'mutation ($input: RoleGrantInput!) { roleGrant(input: $input) { roleBinding { id } errors { __typename } } }',
    { token: rootToken, variables: { input: { granteeId, role, scopeId } } },
  )
  if (!granted.data?.roleGrant.roleBinding) throw new Error(`No role is granted: ${JSON.stringify(granted)}`)
  return signedIn(gateway, account)
}

/** @returns the ids of a new organization and a team in it */
export async function tenantOf(gateway: TestGateway, rootToken: string, slug: string) {
  const organization = await askAdmin(
    gateway,
    `mutation { organizationCreate(input: { slug: "${slug}", name: "${slug}" }) { organization { id } } }`,
    { token: rootToken },
  )
  const organizationId: string = organization.data.organizationCreate.organization.id
  const team = await askAdmin(
    gateway,
    `mutation { teamCreate(input: { organizationId: "${organizationId}", slug: "core", name: "Core" }) { team { id } } }`,
    { token: rootToken },
  )
  const teamId: string = team.data.teamCreate.team.id
  return { organizationId, teamId }
}

/** @returns the id and the secret of a new key */
export async function keyIn(gateway: TestGateway, token: string, ownerId: string, name: string) {
  const { data, errors } = await askAdmin(
    gateway,
    `mutation ($input: ApiKeyCreateInput!) {
      apiKeyCreate(input: $input) { apiKey { id } secret errors { __typename ... on UserError { message } } }
    }`,
    { token, variables: { input: { ownerId, name } } },
  )
  if (!data?.apiKeyCreate.apiKey) throw new Error(`No key is made: ${JSON.stringify(errors ?? data)}`)
  return { id: data.apiKeyCreate.apiKey.id as string, secret: data.apiKeyCreate.secret as string }
}
