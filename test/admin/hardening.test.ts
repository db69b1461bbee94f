import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { adminUrl, askAdmin, followSetupLink, signedIn } from '../support/admin.ts'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'

let gateway: TestGateway
let token: string
beforeAll(async () => {
  gateway = await openTestGateway()
  await followSetupLink(gateway)
  token = await signedIn(gateway)
})
afterAll(() => gateway.close())

const ask = (query: string, variables?: object) => askAdmin(gateway, query, { token, ...(variables && { variables }) })

async function refusal(query: string, variables?: object): Promise<[code: string | undefined, message: string]> {
  const { data, errors } = await ask(query, variables)
  expect(data ?? null).toBeNull()
  return [errors?.[0]?.extensions.code, errors?.[0]?.message ?? '']
}

const post = (body: string, headers: Record<string, string> = { 'content-type': 'application/json' }) =>
  fetch(`${adminUrl(gateway)}/graphql`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, ...headers },
    body,
  })

describe('over HTTP', () => {
  test('a GET executes nothing', async () => {
    const response = await fetch(`${adminUrl(gateway)}/graphql?query=%7Bviewer%7Bname%7D%7D`, {
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    })
    expect(response.status).toBe(404)
  })

  test.each([
    ['a batch', '[{"query":"{viewer{name}}"},{"query":"{viewer{name}}"}]', undefined, 400],
    ['what is no JSON', '{"query":', undefined, 400],
    ['a form', 'query={viewer{name}}', 'application/x-www-form-urlencoded', 415],
    ['plain text, as a form can send it', '{"query":"{viewer{name}}"}', 'text/plain', 400],
    ['another charset', '{"query":"{viewer{name}}"}', 'application/json; charset=utf-16', 400],
    ['more than 100 KiB', `{"query":"{viewer{name}}","x":"${'x'.repeat(100 * 1024)}"}`, undefined, 413],
    [
      'variables of more than 64 KiB',
      `{"query":"query ($a: String) { viewer { name } }","variables":{"a":"${'x'.repeat(65 * 1024)}"}}`,
      undefined,
      400,
    ],
  ])('%s is refused', async (_what, body, contentType, status) => {
    const response = await post(body, contentType ? { 'content-type': contentType } : undefined)
    expect(response.status).toBe(status)
    const { errors } = (await response.json()) as { errors: { message: string }[] }
    expect(errors[0]?.message).toMatch(/\w/)
  })

  test('answers are kept nowhere, framed nowhere and run no foreign script', async () => {
    const { headers } = await ask('{ viewer { name } }')
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('content-security-policy')).toBe("default-src 'self'; frame-ancestors 'none'")
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('access-control-allow-origin')).toBeNull()
  })
})

describe('a document', () => {
  const many = (count: number, text: (index: number) => string): string =>
    Array.from({ length: count }, (_, i) => text(i)).join(' ')
  const deep = (levels: number): string => `${'organization { teams { '.repeat(levels)}name${' } }'.repeat(levels)}`

  test('within every limit is executed', async () => {
    const { errors } = await ask(
      `{ ${many(10, (i) => `a${i}: organizations(first: 10) { nodes { ...f } }`)} } fragment f on Organization { name }`,
    )
    expect(errors).toBeUndefined()
  })

  test.each<[string, string, RegExp]>([
    ['too deep', `{ apiKeys { nodes { ${deep(6)} } } }`, /depth of 13, at most 12/],
    [
      'too deep by way of fragments',
      `{ organizations { nodes { ...f0 } } } ${many(
        6,
        (i) => `fragment f${i} on Organization { teams { organization { ${i < 5 ? `...f${i + 1}` : 'name'} } } }`,
      )}`,
      /depth of \d+, at most 12/,
    ],
    ['of too many aliases', `{ viewer { ${many(16, (i) => `a${i}: name`)} } }`, /aliases of 16, at most 15/],
    ['of too many root fields', `{ ${many(11, () => 'viewer { name }')} }`, /queryFields of 11, at most 10/],
    [
      'of too many fragments',
      `{ viewer { ${many(21, (i) => `...f${i}`)} } } ${many(21, (i) => `fragment f${i} on Viewer { name }`)}`,
      /fragments of 21, at most 20/,
    ],
    [
      'of too many directives',
      `{ viewer { ${many(11, () => 'name @include(if: true)')} } }`,
      /directives of 11, at most 10/,
    ],
    [
      'too dear',
      '{ organizations(first: 100) { nodes { id slug name createdAt teams { id slug name createdAt organization { id slug name createdAt teams { id slug name createdAt } } } } edges { cursor node { id slug name createdAt teams { id slug name createdAt organization { id slug name createdAt teams { id slug name createdAt } } } } } } }',
      /cost of \d+, at most 1000/,
    ],
    [
      'of too many mutations',
      `mutation { ${many(6, (i) => `a${i}: organizationCreate(input: { slug: "s${i}", name: "n" }) { errors { __typename } }`)} }`,
      /mutationFields of 6, at most 5/,
    ],
    [
      'that signs in twice',
      `mutation { ${many(2, (i) => `a${i}: sessionSignIn(input: { email: "a@b.c", password: "${i}" }) { accessToken }`)} }`,
      /comes alone/,
    ],
  ])('%s is refused before anything of it is done', async (_what, query, words) => {
    const { rows: before } = await gateway.pool.query('select count(*) from audit_events')
    const [code, message] = await refusal(query)
    expect([code, message]).toEqual(['LIMIT_EXCEEDED', expect.stringMatching(words)])
    expect((await gateway.pool.query('select count(*) from audit_events')).rows).toEqual(before)
  })

  test('of too many tokens is not even parsed', async () => {
    expect((await refusal(`{ viewer { ${'name '.repeat(1_000)} } }`))[1]).toContain('1000 tokens')
  })

  test('whose fragments go round in a circle is refused', async () => {
    const [code] = await refusal('{ viewer { ...a } } fragment a on Viewer { ...b } fragment b on Viewer { ...a }')
    expect(code).toBe('GRAPHQL_VALIDATION_FAILED')
  })

  test('is not helped to names that it does not know', async () => {
    expect((await refusal('{ viewr { name } }'))[1]).not.toMatch(/did you mean/i)
  })

  test('with a field that an input does not have is refused', async () => {
    const query =
      'mutation ($input: OrganizationCreateInput!) { organizationCreate(input: $input) { errors { __typename } } }'
    const [code, message] = await refusal(query, { input: { slug: 's', name: 'n', isAdmin: true } })
    expect([code, message]).toEqual(['BAD_USER_INPUT', expect.stringContaining('isAdmin')])
  })
})

test('the schema is shown to whoever is signed in, and to nobody else', async () => {
  const query = '{ __schema { types { name } } }'
  expect((await ask(query)).data.__schema.types.length).toBeGreaterThan(50)
  const stranger = await askAdmin(gateway, query)
  expect([stranger.status, stranger.errors?.[0]?.extensions.code]).toEqual([401, 'UNAUTHENTICATED'])
})

test('a page is of 1 to 100, and a cursor is one of the list', async () => {
  for (const first of [0, -1, 101]) {
    expect((await refusal(`{ organizations(first: ${first}) { nodes { id } } }`))[0]).toBe('BAD_USER_INPUT')
  }
  for (const after of [
    '',
    'x',
    Buffer.from('["a","b","c"]').toString('base64url'),
    Buffer.from('{}').toString('base64url'),
  ]) {
    expect((await refusal(`{ organizations(after: "${after}") { nodes { id } } }`))[0]).toBe('BAD_USER_INPUT')
  }
})

test('a cursor made up of the right parts is a mistake and no fault', async () => {
  const after = Buffer.from('["yesterday","not-a-uuid"]').toString('base64url')
  for (const list of ['usageRecords', 'apiKeys', 'auditEvents']) {
    expect((await refusal(`{ ${list}(after: "${after}") { nodes { id } } }`))[0]).toBe('BAD_USER_INPUT')
  }
})

test('what is searched for is text and no pattern', async () => {
  await ask('mutation { organizationCreate(input: { slug: "percent", name: "50% of it" }) { errors { __typename } } }')
  await ask('mutation { organizationCreate(input: { slug: "plain", name: "All of it" }) { errors { __typename } } }')
  const found = await ask('{ organizations(search: "% of") { nodes { slug } } }')
  expect(found.data.organizations.nodes).toEqual([{ slug: 'percent' }])
  expect((await refusal(`{ organizations(search: "${'x'.repeat(201)}") { nodes { id } } }`))[0]).toBe('BAD_USER_INPUT')
})

test('a fault is told as one, and what it was is in the log alone', async () => {
  await gateway.pool.query('alter table organizations rename to organizations_away')
  const { errors } = await ask('{ organizations { nodes { id } } }')
  await gateway.pool.query('alter table organizations_away rename to organizations')
  expect(errors).toEqual([
    { message: 'The gateway failed to carry this out.', extensions: { code: 'INTERNAL_SERVER_ERROR' } },
  ])
  const told = gateway.logLines.filter(({ message }) => message === 'An admin operation failed inside.')
  expect(told.map(({ fields }) => String((fields as { err: Error }).err)).join()).toContain('organizations')
})
