import { readFile } from 'node:fs/promises'
import { importPKCS8, SignJWT } from 'jose'
import { createAddressGuard } from '../../upstream/address-guard.ts'
import { request } from '../../upstream/request.ts'
import { createUpstreamClient, type UpstreamClient } from '../../upstream/upstream-client.ts'
import { type AccessToken, requestToken, tokenFrom } from '../access-tokens.ts'
import { isRecord, type JsonObject, nonEmptyString, parsedJson, recordOr } from '../json.ts'

/**
 * Access tokens of Google Cloud, by what is in a credentials file: a service account, a user who signed in with gcloud,
 * or an identity of another cloud or cluster (workload identity federation). Google's own library is not used for it, as
 * it brings a way out of its own.
 *
 * https://cloud.google.com/docs/authentication/application-default-credentials
 */

const scope = 'https://www.googleapis.com/auth/cloud-platform'
const tokenUrlDefault = 'https://oauth2.googleapis.com/token'

/** A credentials file, parsed. */
export type GoogleCredentials = JsonObject & { type: string }

/** @throws Error, without what is in it, when the text is no credentials file */
export function parseGoogleCredentials(text: string): GoogleCredentials {
  const parsed = parsedJson(text)
  if (!isRecord(parsed) || typeof parsed.type !== 'string') {
    throw new Error('The credentials of Google Cloud are no JSON object with a type.')
  }
  return parsed as GoogleCredentials
}

/**
 * @param tokenUrl - where a service account gets its tokens, instead of what its file says
 * @throws Error with a message fit to show to an operator
 */
export async function fetchGoogleToken(
  client: UpstreamClient,
  credentials: GoogleCredentials,
  tokenUrl?: string,
): Promise<AccessToken> {
  switch (credentials.type) {
    case 'service_account':
      return serviceAccountToken(client, credentials, tokenUrl)
    case 'authorized_user':
      return requestToken(client, tokenUrl ?? tokenUrlDefault, {
        grant_type: 'refresh_token',
        client_id: member(credentials, 'client_id'),
        client_secret: member(credentials, 'client_secret'),
        refresh_token: member(credentials, 'refresh_token'),
      })
    case 'external_account':
      return externalAccountToken(client, credentials)
    default:
      throw new Error(
        `Credentials of Google Cloud of type ${credentials.type} are not understood: expected service_account, authorized_user or external_account.`,
      )
  }
}

/** https://developers.google.com/identity/protocols/oauth2/service-account#httprest */
async function serviceAccountToken(
  client: UpstreamClient,
  credentials: GoogleCredentials,
  tokenUrl: string | undefined,
): Promise<AccessToken> {
  const url = tokenUrl ?? nonEmptyString(credentials.token_uri) ?? tokenUrlDefault
  const keyId = nonEmptyString(credentials.private_key_id)
  const key = await importPKCS8(member(credentials, 'private_key'), 'RS256').catch(() => {
    throw new Error('The private_key of the service account is no PKCS #8 key.')
  })
  const assertion = await new SignJWT({ scope })
    .setProtectedHeader({ alg: 'RS256', typ: 'JWT', ...(keyId !== undefined && { kid: keyId }) })
    .setIssuer(member(credentials, 'client_email'))
    .setAudience(url)
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(key)
  return requestToken(client, url, { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion })
}

/** https://google.aip.dev/auth/4117 */
async function externalAccountToken(client: UpstreamClient, credentials: GoogleCredentials): Promise<AccessToken> {
  const impersonationUrl = nonEmptyString(credentials.service_account_impersonation_url)
  const federated = await requestToken(client, member(credentials, 'token_url'), {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    requested_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    audience: member(credentials, 'audience'),
    scope,
    subject_token_type: member(credentials, 'subject_token_type'),
    subject_token: await subjectToken(client, recordOr(credentials.credential_source)),
  })
  return impersonationUrl === undefined ? federated : impersonated(client, impersonationUrl, federated.token)
}

/** What vouches for us: in a file, as Kubernetes renews it, or behind a URL. */
async function subjectToken(client: UpstreamClient, source: JsonObject): Promise<string> {
  const file = nonEmptyString(source.file)
  const url = nonEmptyString(source.url)
  let text: string
  if (file !== undefined) {
    text = await readFile(file, 'utf8')
  } else if (url !== undefined) {
    const headers = Object.entries(recordOr(source.headers)).map(([name, value]) => [name, String(value)])
    const answer = await request(client, { method: 'GET', url, headers: Object.fromEntries(headers) })
    if (answer.status !== 200) throw new Error(`${new URL(url).host} gave no subject token: HTTP ${answer.status}.`)
    text = answer.text
  } else {
    throw new Error('The credential_source of the external account has neither a file nor a url.')
  }
  const format = recordOr(source.format)
  if (format.type !== 'json') return text.trim()
  const token = nonEmptyString(recordOr(parsedJson(text))[String(format.subject_token_field_name)])
  if (token === undefined) throw new Error('The subject token of the external account is not where its file says.')
  return token
}

async function impersonated(client: UpstreamClient, url: string, token: string): Promise<AccessToken> {
  const { status, text } = await request(client, {
    method: 'POST',
    url,
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({ scope: [scope] }),
  })
  const { accessToken, expireTime } = recordOr(parsedJson(text))
  const lifeS = Math.floor((Date.parse(String(expireTime)) - Date.now()) / 1_000)
  return tokenFrom(status, JSON.stringify({ access_token: accessToken, expires_in: lifeS }), url)
}

const metadataHost = 'metadata.google.internal'

/**
 * A token of the machine or pod that this runs on. Its address is one that the guard refuses to everybody, so it has a
 * client of its own, which may go nowhere else.
 */
export async function fetchMetadataToken(): Promise<AccessToken> {
  const client = createUpstreamClient(createAddressGuard([metadataHost, '169.254.169.254']))
  const url = `http://${metadataHost}/computeMetadata/v1/instance/service-accounts/default/token`
  const { status, text } = await request(client, {
    method: 'GET',
    url,
    headers: { 'metadata-flavor': 'Google' },
    timeoutMs: 5_000,
  })
  return tokenFrom(status, text, url)
}

function member(credentials: GoogleCredentials, name: string): string {
  const value = nonEmptyString(credentials[name])
  if (value === undefined) throw new Error(`The credentials of Google Cloud have no ${name}.`)
  return value
}
