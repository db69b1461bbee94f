import type { ExchangeFailure } from '../core/providers/provider.ts'
import { messageOf } from '../core/upstream/error-message.ts'

export interface ProbedCall {
  /** Of the provider. */
  name: string
  model: string
  httpStatus: number | undefined
}

export interface Verdict {
  ok: boolean
  /** What is wrong, and what to do about it. */
  lines: readonly string[]
}

/** What the failure of a test call means, in plain words. Provider texts in it have no credential in them. */
export function explainFailure({ error, kind }: ExchangeFailure, { name, model, httpStatus }: ProbedCall): Verdict {
  const status = httpStatus === undefined ? '' : ` (HTTP ${httpStatus})`
  if (kind === 'refused') {
    return wrong(
      `The gateway may not connect to ${name}: ${messageOf(error.cause)}`,
      'A private address has to be listed in LLMGW_PRIVATE_UPSTREAMS.',
    )
  }
  if (kind === 'connect')
    return wrong(`${name} is unreachable: ${networkReason(error.cause)}`, adviceOnNetwork(error.cause))
  switch (error.code) {
    case 'provider_auth_failed':
      return wrong(
        `${name} refused the credential${status}.`,
        'It is wrong, has been revoked, lacks the permission, or its account is out of funds.',
      )
    case 'model_not_found':
      return wrong(
        `${name} does not know the model ${model}${status}: ${error.message}`,
        'Name another one. If it should know it, check the path of the base URL.',
      )
    case 'provider_rate_limited':
      return wrong(
        `${name} limits the rate${status}: ${error.message}`,
        error.providerCode === 'insufficient_quota'
          ? 'The account has no quota left.'
          : `The credential is accepted. Try again${retryAfter(error.retryAfterMs)}.`,
      )
    case 'provider_timeout':
      return wrong(`${name} did not answer in time${status}.`, 'Check that the upstream is up, and the timeouts.')
    case 'invalid_body':
      // Some reasoning models call it an error that one token is not enough for them.
      if (/max_tokens or model output limit was reached/i.test(error.message)) {
        return { ok: true, lines: [`${name} answered (${model}), and would need more than one token to say anything.`] }
      }
      return wrong(`${name} refused the request${status}: ${error.message}`, 'The model may not be one of this kind.')
    case 'provider_bad_response':
      return wrong(
        `What ${name} answered is not what its type of provider answers${status}: ${error.message}`,
        'Check type and base URL, path and version included.',
      )
    default:
      return wrong(`${name} failed${status}: ${error.message}`, 'That is a fault on its side, unless it lasts.')
  }
}

const wrong = (...lines: string[]): Verdict => ({ ok: false, lines })

const retryAfter = (ms: number | undefined): string => (ms === undefined ? ' later' : ` in ${Math.ceil(ms / 1_000)} s`)

function codeOf(cause: unknown): string {
  if (cause instanceof AggregateError) return cause.errors.map(codeOf).find((code) => code !== '') ?? ''
  return cause instanceof Error && 'code' in cause ? String(cause.code) : ''
}

function networkReason(cause: unknown): string {
  switch (codeOf(cause)) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'its name does not resolve.'
    case 'ECONNREFUSED':
      return 'nothing listens there (connection refused).'
    case 'ECONNRESET':
      return 'the connection was closed at once.'
    case 'ETIMEDOUT':
    case 'UND_ERR_CONNECT_TIMEOUT':
      return 'no connection within the time for it.'
    default:
      return `${messageOf(cause)}.`.replace(/\.+$/, '.')
  }
}

function adviceOnNetwork(cause: unknown): string {
  const code = codeOf(cause)
  if (/CERT|SELF_SIGNED|ALTNAME|ISSUER/.test(code)) {
    return 'Its certificate is not trusted here. NODE_EXTRA_CA_CERTS names a file with further authorities.'
  }
  return 'Check the host and port of the base URL, the network, and HTTPS_PROXY where there is a proxy.'
}
