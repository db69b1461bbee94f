import { beforeAll, expect, test } from 'vitest'
import {
  respondWithCompletion,
  respondWithJson,
  type ScriptedUpstream,
  startScriptedUpstream,
} from '../support/scripted-upstream.ts'
import { ask, makeProvider } from './ask.ts'

let upstream: ScriptedUpstream
let origin: string

beforeAll(async () => {
  upstream = await startScriptedUpstream()
  origin = new URL(upstream.baseUrl).origin
  return upstream.close
})

test('a model is a deployment in the path, and the key is a header of its own', async () => {
  upstream.answer((response, request) => respondWithCompletion(response, request))
  const settings = { apiVersion: '2024-12-01-preview', deployments: { 'm-1': 'prod m1' } }
  const provider = await makeProvider('azure-openai', origin, { apiKey: 'azure-key-0123' }, settings)
  expect((await ask(provider)).failure).toBeUndefined()
  expect((await ask(provider, { model: 'other' })).failure).toBeUndefined()
  const [first, second] = upstream.requests.slice(-2)
  expect(first?.path).toBe('/openai/deployments/prod%20m1/chat/completions?api-version=2024-12-01-preview')
  expect(first?.headers).toMatchObject({ 'api-key': 'azure-key-0123' })
  expect(first?.headers.authorization).toBeUndefined()
  expect(first?.json.model).toBe('prod m1')
  expect(second?.path).toBe('/openai/deployments/other/chat/completions?api-version=2024-12-01-preview')
  await provider.close()
})

test("version v1 has OpenAI's own paths", async () => {
  upstream.answer((response, request) => respondWithCompletion(response, request))
  const settings = { apiVersion: 'v1', deployments: { 'm-1': 'd-1' } }
  const provider = await makeProvider('azure-openai', origin, { apiKey: 'azure-key-0123' }, settings)
  await ask(provider)
  expect(upstream.requests.at(-1)).toMatchObject({ path: '/openai/v1/chat/completions', json: { model: 'd-1' } })
  await provider.close()
})

const application = { tenantId: 't-1', clientId: 'c-1', clientSecret: 'a-client-secret' }

test('an application of Entra signs in once for all calls, and anew when its token is refused', async () => {
  let given = 0
  let refuses = false
  upstream.answer((response, request) => {
    if (request.path === '/t-1/oauth2/v2.0/token') {
      respondWithJson(response, 200, { access_token: `token-${++given}`, expires_in: 3600 })
    } else if (refuses) {
      respondWithJson(response, 401, { error: { message: 'Expired.' } })
    } else {
      respondWithCompletion(response, request)
    }
  })
  const before = upstream.requests.length
  const provider = await makeProvider('azure-openai', origin, application, { authorityHost: origin })
  await Promise.all([ask(provider), ask(provider)])
  const seen = upstream.requests.slice(before)
  expect(seen).toHaveLength(3)
  expect(Object.fromEntries(new URLSearchParams(seen[0]?.body))).toEqual({
    grant_type: 'client_credentials',
    client_id: 'c-1',
    client_secret: 'a-client-secret',
    scope: 'https://cognitiveservices.azure.com/.default',
  })
  expect(seen[1]?.headers.authorization).toBe('Bearer token-1')
  refuses = true
  expect((await ask(provider)).failure?.error.code).toBe('provider_auth_failed')
  refuses = false
  expect((await ask(provider)).failure).toBeUndefined()
  expect(upstream.requests.at(-1)?.headers.authorization).toBe('Bearer token-2')
  await provider.close()
})

test('without a token nothing is asked of the provider', async () => {
  upstream.answer((response) => respondWithJson(response, 401, { error: 'invalid_client', error_description: 'No.' }))
  const provider = await makeProvider('azure-openai', origin, application, { authorityHost: origin })
  const before = upstream.requests.length
  await expect(ask(provider)).rejects.toMatchObject({ code: 'provider_auth_failed' })
  expect(upstream.requests.slice(before).map(({ path }) => path)).toEqual(['/t-1/oauth2/v2.0/token'])
  await provider.close()
})

test('credentials that are not complete make no provider', async () => {
  await expect(makeProvider('azure-openai', origin, { clientId: 'c-1' })).rejects.toThrow('needs apiKey, or tenantId')
})

test('a deployment that is not there is a model that is not there, and a filtered prompt says so', async () => {
  const provider = await makeProvider('azure-openai', origin, { apiKey: 'azure-key-0123' })
  upstream.answer((response) =>
    respondWithJson(response, 404, {
      error: { code: 'DeploymentNotFound', message: 'The API deployment does not exist.' },
    }),
  )
  expect((await ask(provider)).failure?.error).toMatchObject({ code: 'model_not_found', providerCode: undefined })
  upstream.answer((response) =>
    respondWithJson(response, 400, {
      error: { code: 'content_filter', message: 'Filtered.', param: 'prompt', innererror: {} },
    }),
  )
  expect((await ask(provider)).failure?.error).toMatchObject({ code: 'invalid_body', providerCode: 'content_filter' })
  await provider.close()
})
