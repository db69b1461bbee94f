import { describe, expect, test } from 'vitest'
import { AddressRefusedError } from '../../upstream/address-guard.ts'
import { connectionFailure, cutFailure, malformedFailure } from '../failures.ts'
import { inStreamFailure, readOpenAiError } from './errors.ts'

const read = (status: number, body: unknown = { error: { message: 'No.' } }, headers = {}, credential?: string) =>
  readOpenAiError(status, headers, Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), credential)

describe('status', () => {
  test.each([
    [400, 'invalid_body', 'not_billed', false],
    [422, 'invalid_body', 'not_billed', false],
    [404, 'model_not_found', 'not_billed', false],
    [413, 'request_too_large', 'not_billed', false],
    [401, 'provider_auth_failed', 'not_billed', true],
    [402, 'provider_auth_failed', 'not_billed', true],
    [403, 'provider_auth_failed', 'not_billed', true],
    [429, 'provider_rate_limited', 'not_billed', true],
    [408, 'provider_timeout', 'maybe_billed', true],
    [409, 'provider_error', 'not_billed', true],
    [424, 'provider_error', 'not_billed', true],
    [302, 'provider_error', 'not_billed', true],
    [204, 'provider_bad_response', 'maybe_billed', true],
    [500, 'provider_error', 'maybe_billed', true],
    [503, 'provider_error', 'maybe_billed', true],
    [504, 'provider_timeout', 'maybe_billed', true],
    [529, 'provider_error', 'maybe_billed', true],
  ] as const)('%i is %s, %s', (status, code, billing, retryable) => {
    expect(read(status)).toMatchObject({ kind: 'status', error: { code }, billing, retryable })
  })

  test.each([400, 404, 409, 413, 422, 429])("%i passes the provider's message on", (status) => {
    expect(read(status).error.message).toBe('No.')
  })

  test.each([401, 403, 500, 503])('%i does not', (status) => {
    expect(read(status).error.message).not.toContain('No.')
  })

  test('param and code are passed on where they are strings', () => {
    const { error } = read(400, { error: { message: 'No.', param: 'max_tokens', code: 'unsupported_parameter' } })
    expect(error).toMatchObject({ param: 'max_tokens', providerCode: 'unsupported_parameter' })
  })

  test('a numeric code becomes a string, a sentence is none', () => {
    expect(read(400, { error: { message: 'No.', code: 400 } }).error.providerCode).toBe('400')
    expect(read(400, { code: 'Client specified an invalid argument', error: 'No.' }).error.providerCode).toBeUndefined()
  })

  test('a context that is too long has the code agents look for', () => {
    const body = { object: 'error', message: "This model's maximum context length is 4096 tokens.", code: 400 }
    expect(read(400, body).error.providerCode).toBe('context_length_exceeded')
  })

  test.each([
    ['xAI', { code: 'Client specified an invalid argument', error: 'Incorrect API key provided: xa***23.' }],
    ['Google', [{ error: { code: 400, message: 'API key not valid. Please pass a valid API key.' } }]],
    ['a code', { error: { message: 'No.', code: 'invalid_api_key' } }],
  ])('a 400 about our own key is no fault of the caller: %s', (_name, body) => {
    const failure = read(400, body)
    expect(failure).toMatchObject({ error: { code: 'provider_auth_failed' }, retryable: true })
    expect(failure.error.message).not.toMatch(/api key/i)
  })

  test("only OpenAI's word for an empty account replaces our code of a 429", () => {
    const of = (code: string) => read(429, { error: { message: 'No.', code } }).error.providerCode
    expect(of('insufficient_quota')).toBe('insufficient_quota')
    expect(of('rate_limit_exceeded')).toBeUndefined()
  })
})

describe('bodies', () => {
  test.each([
    ['the envelope', { error: { message: 'Why.' } }],
    ['an array around it', [{ error: { message: 'Why.', code: 400, status: 'INVALID_ARGUMENT' } }]],
    ['no envelope', { object: 'error', message: 'Why.', type: 'BadRequestError' }],
    ['a string', { error: 'Why.' }],
    ['detail', { detail: 'Why.' }],
  ])('the message is found in %s', (_name, body) => {
    expect(read(400, body).error.message).toBe('Why.')
  })

  test.each([
    ['by itself', { detail: [{ loc: ['body', 'stop', 0], msg: 'Why.', type: 'missing' }] }],
    ['as the message', { object: 'error', message: { detail: [{ loc: ['body', 'stop', 0], msg: 'Why.' }] } }],
  ])('a list of details names the field, %s', (_name, body) => {
    expect(read(422, body).error).toMatchObject({ message: 'stop.0: Why.', param: 'stop.0' })
  })

  test.each([
    ['HTML', '<html><body>Bad gateway: secret host</body></html>'],
    ['nothing', ''],
    ['half of one', '{"error":{"message":"Wh'],
    ['a number', '7'],
    ['null', 'null'],
    ['an empty array', '[]'],
    ['a message that is none', '{"error":{"message":{"deep":1}}}'],
  ])('%s gives our own words', (_name, body) => {
    expect(read(400, body).error.message).toBe('The provider refused: HTTP 400.')
  })

  test('control characters, lone surrogates and the credential do not get through', () => {
    const message = 'Bad\u0000 key\r\n\u001b[31m sk-secret in sk-secret\ud800'
    expect(read(400, { error: { message } }, {}, 'sk-secret').error.message).toBe(
      'Bad  key [31m [redacted] in [redacted]\ufffd',
    )
    expect(read(400, { error: { message: 'm', param: 'sk-secret' } }, {}, 'sk-secret').error.param).toBe('[redacted]')
  })

  test('a long message is cut at 2 KiB, between characters', () => {
    const { message } = read(400, { error: { message: `x${'é'.repeat(3_000)}` } }).error
    expect(Buffer.byteLength(message)).toBe(2_047)
    expect(message).not.toContain('\ufffd')
  })

  test('a credential across the cut is not passed on in half', () => {
    const { message } = read(
      400,
      { error: { message: `${'x'.repeat(2_040)}sk-secret-long` } },
      {},
      'sk-secret-long',
    ).error
    expect(message).not.toContain('sk-')
  })
})

describe('when to come back', () => {
  test.each([
    [{ 'retry-after': '20' }, 20_000],
    [{ 'retry-after': '1.5' }, 1_500],
    [{ 'retry-after-ms': '250', 'retry-after': '20' }, 250],
    [{ 'retry-after': ['3', '9'] }, 3_000],
    [{ 'retry-after': 'Mon, 23 Nov 2026 10:00:30 GMT', date: 'Mon, 23 Nov 2026 10:00:00 GMT' }, 30_000],
    [{ 'retry-after': 'Mon, 23 Nov 2026 09:00:00 GMT', date: 'Mon, 23 Nov 2026 10:00:00 GMT' }, 0],
    [{ 'retry-after': '259200' }, undefined],
    [{ 'retry-after': '-5' }, undefined],
    [{ 'retry-after-ms': 'soon' }, undefined],
    [{ 'retry-after': 'soon' }, undefined],
    [{}, undefined],
  ])('%j', (headers, retryAfterMs) => {
    const failure = read(429, undefined, headers)
    expect(failure.retryAfterMs).toBe(retryAfterMs)
    expect(failure.error.retryAfterMs).toBe(retryAfterMs)
  })

  test('is not passed on where coming back is no use', () => {
    expect(read(400, undefined, { 'retry-after': '5' }).retryAfterMs).toBeUndefined()
  })
})

describe('errors inside an answer', () => {
  test.each([
    ['a numeric code', { message: 'Why.', code: 429 }, 'provider_rate_limited'],
    ['a 400 by status_code', { message: 'Why.', code: 'tool_use_failed', status_code: 400 }, 'invalid_body'],
    ['a 400 by type', { message: 'Why.', type: 'invalid_request_error', code: 'tool_use_failed' }, 'invalid_body'],
    ['nothing to go by', { message: 'Why.', type: 'server_error' }, 'provider_error'],
    ['an array', [{ message: 'Why.', code: 503 }], 'provider_error'],
    ['a string', 'Why.', 'provider_error'],
  ])('%s', (_name, error, code) => {
    expect(inStreamFailure(error)).toMatchObject({ kind: 'in-stream', billing: 'maybe_billed', error: { code } })
  })

  test('a failed tool call keeps its code and words', () => {
    const error = {
      message: 'Failed to call a function.',
      code: 'tool_use_failed',
      failed_generation: '{',
      status_code: 400,
    }
    expect(inStreamFailure(error).error).toMatchObject({
      message: 'Failed to call a function.',
      providerCode: 'tool_use_failed',
    })
  })

  test('the credential is redacted', () => {
    expect(inStreamFailure({ message: 'Not sk-1.', code: 400 }, 'sk-1').error.message).toBe('Not [redacted].')
  })
})

describe('connections', () => {
  const failed = (code: string) => Object.assign(new Error('boom'), { code })

  test.each([
    ['ECONNREFUSED', false, 'connect', 'not_sent', 'provider_error'],
    ['UND_ERR_CONNECT_TIMEOUT', false, 'connect', 'not_sent', 'provider_error'],
    ['UND_ERR_SOCKET', true, 'cut', 'maybe_billed', 'provider_bad_response'],
    ['UND_ERR_HEADERS_TIMEOUT', true, 'timeout', 'maybe_billed', 'provider_timeout'],
    ['UND_ERR_BODY_TIMEOUT', true, 'timeout', 'maybe_billed', 'provider_timeout'],
  ] as const)('%s, sent: %s, is %s', (code, sent, kind, billing, errorCode) => {
    expect(connectionFailure(failed(code), sent)).toMatchObject({
      kind,
      billing,
      retryable: true,
      error: { code: errorCode },
    })
  })

  test('an address we may not connect to is refused', () => {
    const failure = connectionFailure(new AddressRefusedError('10.0.0.1 is private'), false)
    expect(failure).toMatchObject({ kind: 'refused', billing: 'not_sent' })
    expect(failure.error.message).not.toContain('10.0.0.1')
  })
})

test('cut and malformed answers may have been billed, and another target may do better', () => {
  expect(cutFailure()).toMatchObject({ kind: 'cut', billing: 'maybe_billed', retryable: true })
  expect(malformedFailure('an empty body')).toMatchObject({
    kind: 'malformed',
    billing: 'maybe_billed',
    retryable: true,
    error: { code: 'provider_bad_response', message: "The provider's answer is unusable: an empty body." },
  })
})
