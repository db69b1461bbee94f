import { expect, test } from 'vitest'
import { AddressRefusedError } from '../../upstream/address-guard.ts'
import { bedrockFailure } from './errors.ts'

const exception = (name: string, httpStatusCode: number | undefined, message = 'It went wrong.') =>
  Object.assign(new Error(message), { name, $fault: 'client', $metadata: { httpStatusCode } })
const failureOf = (error: unknown, inStream = false) =>
  bedrockFailure(error, inStream, ['AKIASECRET', 'another-secret'])

test.each([
  ['ValidationException', 400, 'invalid_body', false],
  ['AccessDeniedException', 403, 'provider_auth_failed', true],
  ['UnrecognizedClientException', 403, 'provider_auth_failed', true],
  ['InvalidSignatureException', 403, 'provider_auth_failed', true],
  ['ExpiredTokenException', 403, 'provider_auth_failed', true],
  ['ResourceNotFoundException', 404, 'model_not_found', false],
  ['ThrottlingException', 429, 'provider_rate_limited', true],
  ['ServiceQuotaExceededException', 400, 'provider_rate_limited', true],
  ['InternalServerException', 500, 'provider_error', true],
  ['ModelErrorException', 424, 'provider_error', true],
  ['ServiceUnavailableException', 503, 'provider_error', true],
  ['ModelNotReadyException', 429, 'provider_error', true],
  ['ModelTimeoutException', 408, 'provider_timeout', true],
  ['SomethingNewException', 418, 'provider_error', true],
])('%s with %i is %s', (name, status, code, retryable) => {
  expect(failureOf(exception(name, status))).toMatchObject({ kind: 'status', retryable, error: { code } })
})

test.each([
  ['ThrottlingException', 'provider_rate_limited'],
  ['ModelStreamErrorException', 'provider_error'],
  ['ValidationException', 'invalid_body'],
  ['SomethingNewException', 'provider_error'],
])('(52) the exception %s in a stream is a failure', (name, code) => {
  const failure = failureOf(exception(name, undefined), true)
  expect(failure).toMatchObject({ kind: 'in-stream', billing: 'maybe_billed', error: { code } })
})

test('its words reach the caller where they help, without credentials', () => {
  const { error } = failureOf(exception('ValidationException', 400, 'Bad thing of AKIASECRET and another-secret.'))
  expect(error.message).toBe('Bad thing of [redacted] and [redacted].')
})

test('an input that is too long has the code that agents look for', () => {
  const { error } = failureOf(exception('ValidationException', 400, 'Input is too long for requested model.'))
  expect(error.providerCode).toBe('context_length_exceeded')
})

test('what never got there is not billed', () => {
  const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
  expect(failureOf(refused)).toMatchObject({ kind: 'connect', billing: 'not_sent' })
  expect(failureOf(new Error('no', { cause: new AddressRefusedError('private') }))).toMatchObject({
    kind: 'refused',
    billing: 'not_sent',
  })
  const nobody = Object.assign(new Error('Could not load credentials from any providers'), {
    name: 'CredentialsProviderError',
  })
  expect(failureOf(nobody)).toMatchObject({ billing: 'not_sent', error: { code: 'provider_auth_failed' } })
})

test('what broke off may be billed', () => {
  const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
  expect(failureOf(reset)).toMatchObject({ kind: 'cut', billing: 'maybe_billed' })
})
