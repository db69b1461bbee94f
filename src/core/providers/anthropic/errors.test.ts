import { expect, test } from 'vitest'
import { readAnthropicError } from './errors.ts'

const credential = 'sk-ant-secret-0123456789'
const read = (status: number, body: unknown, headers = {}) =>
  readAnthropicError(status, headers, Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), credential)
const error = (type: string, message: string) => ({ type: 'error', error: { type, message }, request_id: 'req_1' })

test.each([
  [400, 'invalid_request_error', 'invalid_body', false],
  [401, 'authentication_error', 'provider_auth_failed', true],
  [403, 'permission_error', 'provider_auth_failed', true],
  [404, 'not_found_error', 'model_not_found', false],
  [413, 'request_too_large', 'request_too_large', false],
  [429, 'rate_limit_error', 'provider_rate_limited', true],
  [500, 'api_error', 'provider_error', true],
  [504, 'timeout_error', 'provider_timeout', true],
  [529, 'overloaded_error', 'provider_error', true],
])('%i %s is %s', (status, type, code, retryable) => {
  expect(read(status, error(type, 'It went wrong.'))).toMatchObject({ kind: 'status', retryable, error: { code } })
})

test('its own words reach the caller where they help, without the credential', () => {
  const { message } = read(400, error('invalid_request_error', `max_tokens: must be positive (${credential})`)).error
  expect(message).toBe('max_tokens: must be positive ([redacted])')
})

test('a prompt that is too long has the code that agents look for', () => {
  const { providerCode } = read(
    400,
    error('invalid_request_error', 'prompt is too long: 210000 tokens > 200000 maximum'),
  ).error
  expect(providerCode).toBe('context_length_exceeded')
})

test('an account without money is a matter of ours, though it is told with 400', () => {
  const words = 'Your credit balance is too low to access the Anthropic API.'
  const { error: told } = read(400, error('invalid_request_error', words))
  expect(told.code).toBe('provider_auth_failed')
  expect(told.message).not.toContain('credit')
})

test('(55) when to come back is passed on', () => {
  expect(read(429, error('rate_limit_error', 'Slow down.'), { 'retry-after': '12' }).retryAfterMs).toBe(12_000)
})

test.each(['', '<html>Bad gateway</html>', '{"type":"error"', '[]'])(
  'a body of %j is understood by its status',
  (body) => {
    expect(read(502, body)).toMatchObject({ error: { code: 'provider_error' }, retryable: true })
  },
)
