import { GatewayError } from '../../errors.ts'
import { AddressRefusedError } from '../../upstream/address-guard.ts'
import { cleaned, connectionFailure, cutFailure, failureOfStatus, malformedFailure } from '../failures.ts'
import { isRecord, recordOr } from '../json.ts'
import type { ExchangeFailure } from '../provider.ts'

/** By the name of the exception, which says more than the status that comes with it. */
const statusByName: Readonly<Record<string, number>> = {
  ValidationException: 400,
  AccessDeniedException: 403,
  UnrecognizedClientException: 403,
  InvalidSignatureException: 403,
  ExpiredTokenException: 403,
  IncompleteSignature: 403,
  MissingAuthenticationToken: 403,
  ResourceNotFoundException: 404,
  ThrottlingException: 429,
  TooManyRequestsException: 429,
  ServiceQuotaExceededException: 429,
  InternalServerException: 500,
  ModelErrorException: 500,
  ModelStreamErrorException: 500,
  ServiceUnavailableException: 503,
  ModelNotReadyException: 503,
  ModelTimeoutException: 504,
}

/** What the SDK says when it has no credentials to sign with. */
const credentialNames = new Set(['CredentialsProviderError', 'TokenProviderError', 'ProviderError'])

const notConnected =
  /^(?:ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT|ADDRESS_REFUSED)$/

/**
 * What something that the AWS SDK throws means, be it an answer of Bedrock's, an exception in a stream or a connection
 * that broke.
 *
 * https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html
 *
 * @param inStream - the status was 200
 * @param secrets - replaced wherever they are echoed
 */
export function bedrockFailure(thrown: unknown, inStream: boolean, secrets: readonly string[]): ExchangeFailure {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown))
  const refused = refusalIn(error)
  if (refused) return connectionFailure(refused, false)
  // The codec throws when a checksum is wrong, or when the body ends in the middle of a frame.
  if (/^Truncated event message/i.test(error.message)) return cutFailure(error)
  if (/checksum|message length|event stream/i.test(error.message)) return malformedFailure('a frame in it is damaged')
  if (credentialNames.has(error.name)) {
    const message = 'The gateway has no credential for this provider. The operator of the gateway has to look at it.'
    const told = new GatewayError('provider_auth_failed', message, { cause: error })
    return { error: told, kind: 'refused', billing: 'not_sent', retryable: true, retryAfterMs: undefined }
  }
  const { httpStatusCode } = recordOr((error as { $metadata?: unknown }).$metadata)
  const status = statusByName[error.name] ?? (typeof httpStatusCode === 'number' ? httpStatusCode : undefined)
  const isAnswer = statusByName[error.name] !== undefined || (status !== undefined && status >= 400)
  if (status !== undefined && isAnswer) return answered(status, error, inStream, secrets)
  if (status !== undefined && error instanceof SyntaxError) return malformedFailure('the body is not JSON')
  if (inStream && (error as { $fault?: unknown }).$fault !== undefined) return answered(500, error, inStream, secrets)
  const code = String((error as { code?: unknown }).code ?? error.name)
  const couldConnect = !notConnected.test(code) && error.name !== 'TimeoutError'
  return connectionFailure(error, couldConnect)
}

function answered(status: number, error: Error, inStream: boolean, secrets: readonly string[]): ExchangeFailure {
  let message = cleaned(error.message, secrets[0])
  for (const secret of secrets.slice(1)) message = cleaned(message, secret)
  const isTooLong = /input is too long|too many (?:input )?tokens|prompt is too long/i.test(message ?? '')
  const words = {
    message: message === 'UnknownError' ? undefined : message,
    type: undefined,
    param: undefined,
    code: isTooLong ? 'context_length_exceeded' : undefined,
    status: undefined,
  }
  return failureOfStatus(status, words, undefined, inStream ? 'in-stream' : 'status')
}

function refusalIn(error: unknown): AddressRefusedError | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof AddressRefusedError) return at
    if (isRecord(at) && 'errors' in at) return undefined
  }
  return undefined
}
