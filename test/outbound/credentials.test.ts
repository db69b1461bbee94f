import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'
import { respondWithJson, type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'

const secrets = { first: 'sk-first-credential-0123456789', second: 'sk-second-credential-0123456789' }

let gateway: TestGateway
let first: ScriptedUpstream
let second: ScriptedUpstream
beforeAll(async () => {
  first = await startScriptedUpstream()
  second = await startScriptedUpstream()
  const provider = (name: keyof typeof secrets, { baseUrl }: ScriptedUpstream) => ({
    name,
    type: 'openai-compatible',
    baseUrl,
    passthroughModels: true,
    credentials: { apiKey: secrets[name] },
    headers: { 'x-constant': `of-${name}` },
  })
  gateway = await openTestGateway({
    keepsRequestLog: true,
    file: {
      providers: [provider('first', first), provider('second', second)],
      aliases: [
        {
          name: 'either',
          targets: [
            { provider: 'first', model: 'm', priority: 0 },
            { provider: 'second', model: 'm', priority: 1 },
          ],
        },
      ],
    },
  })
})
afterAll(async () => {
  await gateway.close()
  await Promise.all([first.close(), second.close()])
})

test('a credential reaches its own upstream alone, and nobody else: neither another upstream, nor client, nor log', async () => {
  const echo = { error: { message: `wrong key ${secrets.first} and ${gateway.keySecret}` } }
  const answers: string[] = []
  const ask = async (model: string, headers: Record<string, string> = {}): Promise<void> => {
    const response = await gateway.chat({ model }, { headers })
    answers.push(JSON.stringify([...response.headers]) + (await response.text()))
  }
  await ask('first/m')
  await ask('second/m')
  // The first fails, and the second takes over.
  first.answer((response) => respondWithJson(response, 500, echo))
  await ask('either', { 'x-secret-of-client': 'private', cookie: 'session=private' })
  // It sends its callers on to the second, with the credential it was given.
  first.answer((response) => void response.writeHead(307, { location: `${second.baseUrl}/chat/completions` }).end())
  await ask('first/m')
  // It answers with what it was given.
  for (const status of [400, 401, 429]) {
    first.answer((response) => respondWithJson(response, status, echo))
    await ask('first/m')
  }
  await gateway.allSettled()

  expect(first.requests.length).toBeGreaterThanOrEqual(6)
  expect(second.requests.length).toBe(2)
  for (const [own, other, upstream] of [
    ['first', 'second', first],
    ['second', 'first', second],
  ] as const) {
    for (const { headers, path, body } of upstream.requests) {
      expect(headers).toMatchObject({ authorization: `Bearer ${secrets[own]}`, 'x-constant': `of-${own}` })
      const seen = JSON.stringify({ headers, path, body })
      for (const foreign of [secrets[other], `of-${other}`, gateway.keySecret, 'private']) {
        expect(seen).not.toContain(foreign)
      }
      expect(path + body).not.toContain(secrets[own])
    }
  }
  const told = [...answers, ...gateway.requestLog, JSON.stringify(gateway.logLines)].join('\n')
  expect(gateway.requestLog.length).toBeGreaterThan(0)
  for (const secret of Object.values(secrets)) expect(told).not.toContain(secret)
})
