import { expect, test } from 'vitest'
import { type AccessToken, createAccessTokens, tokenFrom } from './access-tokens.ts'

function setUp() {
  let nowMs = 0
  const asked: { resolve: (token: AccessToken) => void; reject: (error: Error) => void }[] = []
  const tokens = createAccessTokens(
    () => new Promise((resolve, reject) => void asked.push({ resolve, reject })),
    () => nowMs,
  )
  return {
    tokens,
    asked,
    pass(seconds: number) {
      nowMs += seconds * 1_000
    },
  }
}
const settled = () => new Promise((resolve) => setImmediate(resolve))

test('all who need one wait for the same, and it is kept', async () => {
  const { tokens, asked } = setUp()
  const all = [tokens.current(), tokens.current()]
  asked[0]?.resolve({ token: 'one', expiresInS: 3600 })
  expect(await Promise.all([...all, tokens.current()])).toEqual(['one', 'one', 'one'])
  expect(asked).toHaveLength(1)
})

test('a new one is fetched while the old one is still good, which is used up while that fails', async () => {
  const { tokens, asked, pass } = setUp()
  const first = tokens.current()
  asked[0]?.resolve({ token: 'one', expiresInS: 3600 })
  await first
  pass(3301)
  expect(await tokens.current()).toBe('one')
  expect(asked).toHaveLength(2)
  asked[1]?.reject(new Error('no'))
  await settled()
  expect(await tokens.current()).toBe('one')
  asked[2]?.resolve({ token: 'two', expiresInS: 3600 })
  await settled()
  expect(await tokens.current()).toBe('two')
})

test('without one that is good, why there is none is for the operator alone', async () => {
  const { tokens, asked, pass } = setUp()
  const first = tokens.current()
  asked[0]?.resolve({ token: 'one', expiresInS: 60 })
  await first
  pass(61)
  const refused = tokens.current()
  const cause = new Error('invalid_client')
  asked[1]?.reject(cause)
  await expect(refused).rejects.toMatchObject({ code: 'provider_auth_failed', cause })
  await expect(refused).rejects.not.toThrow('invalid_client')
})

test('one that was refused is forgotten', async () => {
  const { tokens, asked } = setUp()
  const first = tokens.current()
  asked[0]?.resolve({ token: 'one', expiresInS: 3600 })
  await first
  tokens.forget()
  const second = tokens.current()
  asked[1]?.resolve({ token: 'two', expiresInS: 3600 })
  expect(await second).toBe('two')
})

test.each([
  [200, '{"access_token":"t","expires_in":60}', { token: 't', expiresInS: 60 }],
  [200, '{"access_token":"t","expires_in":"60"}', { token: 't', expiresInS: 60 }],
  [200, '{"access_token":"t"}', { token: 't', expiresInS: 300 }],
])('an answer %i %s', (status, text, token) => {
  expect(tokenFrom(status, text, 'https://login.example/token')).toEqual(token)
})

test.each([
  [400, '{"error":"invalid_grant","error_description":"Bad."}', 'login.example gave no token: HTTP 400, Bad.'],
  [401, '{"error":"invalid_client"}', 'login.example gave no token: HTTP 401, invalid_client'],
  [200, '<html>', 'login.example gave no token: HTTP 200, no token in the answer'],
])('an answer %i %s has none', (status, text, message) => {
  expect(() => tokenFrom(status, text, 'https://login.example/token')).toThrow(message)
})
