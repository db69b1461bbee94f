import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { importSPKI, jwtVerify } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import { respondWithJson, type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { ask, makeProvider } from './ask.ts'

const { publicKey, privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
})

let upstream: ScriptedUpstream
let origin: string
let folder: string

beforeAll(async () => {
  upstream = await startScriptedUpstream()
  origin = new URL(upstream.baseUrl).origin
  folder = await mkdtemp(join(tmpdir(), 'llmgw-vertex-'))
  return async () => {
    await upstream.close()
    await rm(folder, { recursive: true })
  }
})

const baseUrl = () => `${origin}/v1/projects/p/locations/global`
const answer = { candidates: [{ content: { parts: [{ text: 'Hi.' }] }, finishReason: 'STOP' }] }

/** Gives tokens below /token, lets whoever has one in, and says who asked for what. */
async function asked(credentials: Record<string, string>, settings: Record<string, unknown>) {
  upstream.answer((response, { path }) => {
    if (path.startsWith('/v1/')) respondWithJson(response, 200, answer)
    else if (path === '/impersonate') {
      const expireTime = new Date(Date.now() + 3_600_000).toISOString()
      respondWithJson(response, 200, { accessToken: 'impersonated-token', expireTime })
    } else if (path === '/subject') respondWithJson(response, 200, { nested_token: 'subject-of-url' })
    else respondWithJson(response, 200, { access_token: 'a-token', expires_in: 3600 })
  })
  const before = upstream.requests.length
  const provider = await makeProvider('vertex', baseUrl(), credentials, settings)
  const { failure } = await ask(provider, { model: 'gemini-2.5-flash' })
  await ask(provider, { model: 'gemini-2.5-flash' })
  await provider.close()
  const seen = upstream.requests.slice(before)
  return {
    failure,
    seen,
    form: Object.fromEntries(new URLSearchParams(seen[0]?.body)),
    paths: seen.map(({ path }) => path),
  }
}

const generate = '/v1/projects/p/locations/global/publishers/google/models/gemini-2.5-flash:generateContent'
const serviceAccount = (more: object = {}) =>
  JSON.stringify({
    type: 'service_account',
    client_email: 'llmgw@p.iam.gserviceaccount.com',
    private_key: privateKey,
    private_key_id: 'k-1',
    token_uri: `${origin}/token`,
    ...more,
  })
async function credentialsFile(content: object): Promise<string> {
  const path = join(folder, 'credentials.json')
  await writeFile(path, JSON.stringify(content))
  return path
}

test('a token that is given is used as it is', async () => {
  const { failure, seen, paths } = await asked({ accessToken: 'given-token' }, {})
  expect(failure).toBeUndefined()
  expect(paths).toEqual([generate, generate])
  expect(seen[0]?.headers.authorization).toBe('Bearer given-token')
})

test('a service account signs for itself, once for all calls', async () => {
  const { failure, seen, form, paths } = await asked({ serviceAccountJson: serviceAccount() }, {})
  expect(failure).toBeUndefined()
  expect(paths).toEqual(['/token', generate, generate])
  expect(form.grant_type).toBe('urn:ietf:params:oauth:grant-type:jwt-bearer')
  const { payload, protectedHeader } = await jwtVerify(form.assertion ?? '', await importSPKI(publicKey, 'RS256'), {
    audience: `${origin}/token`,
    issuer: 'llmgw@p.iam.gserviceaccount.com',
  })
  expect(payload).toMatchObject({ scope: 'https://www.googleapis.com/auth/cloud-platform' })
  expect(protectedHeader).toMatchObject({ alg: 'RS256', kid: 'k-1' })
  expect(seen[1]?.headers.authorization).toBe('Bearer a-token')
})

test('the operator may name another place for tokens than the key does', async () => {
  const serviceAccountJson = serviceAccount({ token_uri: 'https://oauth2.example/token' })
  expect((await asked({ serviceAccountJson }, { tokenUrl: `${origin}/other` })).paths[0]).toBe('/other')
})

describe('the credentials of the machine', () => {
  test('may be a service account', async () => {
    const file = await credentialsFile(JSON.parse(serviceAccount()))
    expect((await asked({}, { credentialsFile: file })).paths).toEqual(['/token', generate, generate])
  })

  test('may be a user who has signed in', async () => {
    const file = await credentialsFile({
      type: 'authorized_user',
      client_id: 'c',
      client_secret: 's',
      refresh_token: 'r',
    })
    const { form, failure } = await asked({}, { credentialsFile: file, tokenUrl: `${origin}/token` })
    expect(failure).toBeUndefined()
    expect(form).toEqual({ grant_type: 'refresh_token', client_id: 'c', client_secret: 's', refresh_token: 'r' })
  })

  const external = (credential_source: object, more: object = {}) => ({
    type: 'external_account',
    audience: '//iam.googleapis.com/pool',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: `${origin}/sts`,
    credential_source,
    ...more,
  })

  test('may be an identity of a cluster, whose token is in a file', async () => {
    const path = join(folder, 'subject')
    await writeFile(path, 'subject-of-file\n')
    const { form, seen, paths } = await asked({}, { credentialsFile: await credentialsFile(external({ file: path })) })
    expect(paths).toEqual(['/sts', generate, generate])
    expect(form).toMatchObject({ subject_token: 'subject-of-file', audience: '//iam.googleapis.com/pool' })
    expect(seen[1]?.headers.authorization).toBe('Bearer a-token')
  })

  test('may be one behind a URL, in the name of a service account', async () => {
    const source = {
      url: `${origin}/subject`,
      headers: { 'x-from': 'llmgw' },
      format: { type: 'json', subject_token_field_name: 'nested_token' },
    }
    const file = await credentialsFile(external(source, { service_account_impersonation_url: `${origin}/impersonate` }))
    const { seen, paths } = await asked({}, { credentialsFile: file })
    expect(paths).toEqual(['/subject', '/sts', '/impersonate', generate, generate])
    expect(seen[0]?.headers['x-from']).toBe('llmgw')
    expect(new URLSearchParams(seen[1]?.body).get('subject_token')).toBe('subject-of-url')
    expect(seen[2]?.headers.authorization).toBe('Bearer a-token')
    expect(seen[3]?.headers.authorization).toBe('Bearer impersonated-token')
  })

  test.each([
    [{ type: 'impersonated_service_account' }, 'are not understood'],
    [{ type: 'service_account', client_email: 'a@b' }, 'have no private_key'],
    [{ type: 'service_account', client_email: 'a@b', private_key: 'x' }, 'is no PKCS #8 key'],
    [
      { type: 'external_account', token_url: 'https://a.example', audience: 'a', subject_token_type: 'b' },
      'neither a file nor a url',
    ],
  ])('%j is refused with its reason for the operator', async (content, reason) => {
    const provider = await makeProvider('vertex', baseUrl(), {}, { credentialsFile: await credentialsFile(content) })
    await expect(ask(provider)).rejects.toMatchObject({
      code: 'provider_auth_failed',
      cause: { message: expect.stringContaining(reason) },
    })
    await provider.close()
  })
})
