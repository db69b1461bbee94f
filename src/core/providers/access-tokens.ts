import { GatewayError } from '../errors.ts'
import { request } from '../upstream/request.ts'
import type { UpstreamClient } from '../upstream/upstream-client.ts'
import { nonEmptyString, parsedJson, recordOr } from './json.ts'

export interface AccessToken {
  token: string
  /** From now. */
  expiresInS: number
}

export interface AccessTokens {
  /**
   * One that is good for a while yet.
   *
   * @throws GatewayError provider_auth_failed, whose cause says why
   */
  current(): Promise<string>
  /** The provider refused it: the next one is a new one. */
  forget(): void
}

/** Long enough before its end that no call which gets it outlives it by much. */
const renewBeforeMs = 5 * 60_000

/**
 * Keeps a token that expires. All who need one wait for the same; a new one is fetched while the old one is still good,
 * and while that fails the old one is used up.
 *
 * @param fetchToken - rejects with an error whose message is fit to show to an operator
 */
export function createAccessTokens(
  fetchToken: () => Promise<AccessToken>,
  now: () => number = () => performance.now(),
): AccessTokens {
  let held: { token: string; renewMs: number; endMs: number } | undefined
  let fetching: Promise<string> | undefined

  const renew = (): Promise<string> => {
    fetching ??= fetchToken()
      .then(({ token, expiresInS }) => {
        const lifeMs = expiresInS * 1_000
        held = { token, renewMs: now() + lifeMs - Math.min(renewBeforeMs, lifeMs / 2), endMs: now() + lifeMs }
        return token
      })
      .finally(() => {
        fetching = undefined
      })
    return fetching
  }
  return {
    async current() {
      if (held && now() < held.renewMs) return held.token
      const renewed = renew()
      if (held && now() < held.endMs) {
        renewed.catch(() => {})
        return held.token
      }
      try {
        return await renewed
      } catch (cause) {
        throw new GatewayError('provider_auth_failed', noToken, { cause })
      }
    },
    forget() {
      held = undefined
    },
  }
}

const noToken = 'The gateway could not get a token for this provider. The operator of the gateway has to look at it.'

const tokenTimeoutMs = 10_000
const lifeSDefault = 300

/**
 * Asks a token endpoint as OAuth 2.0 has it.
 *
 * @param form - the body
 * @throws Error that says what the endpoint answered, without the secrets of the request
 */
export async function requestToken(
  client: UpstreamClient,
  url: string,
  form: Readonly<Record<string, string>>,
): Promise<AccessToken> {
  const { status, text } = await request(client, {
    method: 'POST',
    url,
    headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
    body: new URLSearchParams(form).toString(),
    timeoutMs: tokenTimeoutMs,
  })
  return tokenFrom(status, text, url)
}

/** @throws Error when the answer of a token endpoint has no token in it */
export function tokenFrom(status: number, text: string, url: string): AccessToken {
  const { access_token, expires_in, error, error_description } = recordOr(parsedJson(text))
  const token = nonEmptyString(access_token)
  if (status !== 200 || token === undefined) {
    const reason = nonEmptyString(error_description) ?? nonEmptyString(error) ?? 'no token in the answer'
    throw new Error(`${new URL(url).host} gave no token: HTTP ${status}, ${reason.slice(0, 300)}`)
  }
  const seconds = Number(expires_in)
  return { token, expiresInS: seconds > 0 ? seconds : lifeSDefault }
}
