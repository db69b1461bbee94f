import { expect, test } from 'vitest'
import { readGeminiError } from './errors.ts'

const credential = 'AIza-secret-0123456789'
const read = (status: number, body: unknown, headers = {}) =>
  readGeminiError(status, headers, Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), credential)
const error = (code: number, status: string, message = 'It went wrong.', details: object[] = []) => ({
  error: { code, message, status, details },
})

test.each([
  [400, 'INVALID_ARGUMENT', 'invalid_body', false],
  [400, 'FAILED_PRECONDITION', 'invalid_body', false],
  [401, 'UNAUTHENTICATED', 'provider_auth_failed', true],
  [403, 'PERMISSION_DENIED', 'provider_auth_failed', true],
  [404, 'NOT_FOUND', 'model_not_found', false],
  [429, 'RESOURCE_EXHAUSTED', 'provider_rate_limited', true],
  [500, 'INTERNAL', 'provider_error', true],
  [503, 'UNAVAILABLE', 'provider_error', true],
  [504, 'DEADLINE_EXCEEDED', 'provider_timeout', true],
])('%i %s is %s', (status, word, code, retryable) => {
  expect(read(status, error(status, word))).toMatchObject({ kind: 'status', retryable, error: { code } })
})

test('(61) its numeric code is not passed on as a code', () => {
  expect(read(400, error(400, 'INVALID_ARGUMENT')).error.providerCode).toBeUndefined()
})

test('(57) an error in a list is read, and the credential in it is not', () => {
  const { error: told } = read(400, [error(400, 'INVALID_ARGUMENT', `Unknown name "x" (${credential})`)])
  expect(told.message).toBe('Unknown name "x" ([redacted])')
})

test('a wrong key is a matter of ours, though it is told with 400', () => {
  const details = [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'API_KEY_INVALID' }]
  expect(read(400, error(400, 'INVALID_ARGUMENT', 'Bad key.', details)).error.code).toBe('provider_auth_failed')
  expect(read(400, error(400, 'INVALID_ARGUMENT', 'API key not valid.')).error.code).toBe('provider_auth_failed')
})

test('a prompt that is too long has the code that agents look for', () => {
  const message = 'The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).'
  expect(read(400, error(400, 'INVALID_ARGUMENT', message)).error.providerCode).toBe('context_length_exceeded')
})

test.each([
  ['41.5s', 41_500],
  ['34s', 34_000],
  [{ seconds: '12' }, 12_000],
  ['soon', undefined],
  ['100000s', undefined],
])('(55) a retry delay of %j', (retryDelay, ms) => {
  const details = [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay }]
  expect(read(429, error(429, 'RESOURCE_EXHAUSTED', 'Slow down.', details)).retryAfterMs).toBe(ms)
})

test.each(['', '<html>Bad gateway</html>', '[', '{}'])('a body of %j is understood by its status', (body) => {
  expect(read(502, body)).toMatchObject({ error: { code: 'provider_error' }, retryable: true })
})
