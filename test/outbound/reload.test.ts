import { expect, test } from 'vitest'
import { openTestGateway } from '../support/gateway.ts'
import { startScriptedUpstream } from '../support/scripted-upstream.ts'

test('a provider with a new key keeps the connections to its origin, and one at a new origin makes its own', async () => {
  const upstream = await startScriptedUpstream()
  const elsewhere = await startScriptedUpstream()
  const file = (baseUrl: string, apiKey: string) => ({
    providers: [{ name: 'kept', type: 'openai-compatible', baseUrl, passthroughModels: true, credentials: { apiKey } }],
  })
  await using gateway = await openTestGateway({ file: file(upstream.baseUrl, 'sk-old-0123456789') })
  const ask = async (): Promise<void> => {
    const response = await gateway.chat({ model: 'kept/m' })
    expect(response.status).toBe(200)
    await response.text()
  }
  await ask()
  expect(await gateway.reload(file(upstream.baseUrl, 'sk-new-0123456789'))).toEqual([])
  await ask()
  expect(upstream.connections).toBe(1)
  expect(upstream.requests.map(({ headers }) => headers.authorization)).toEqual([
    'Bearer sk-old-0123456789',
    'Bearer sk-new-0123456789',
  ])
  expect(await gateway.reload(file(elsewhere.baseUrl, 'sk-new-0123456789'))).toEqual([])
  await ask()
  expect([upstream.connections, elsewhere.connections]).toEqual([1, 1])
  await upstream.close()
  await elsewhere.close()
})
