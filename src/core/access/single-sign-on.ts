import { createHash, randomBytes } from 'node:crypto'
import type { Configuration, CustomFetch } from 'openid-client'
import type { Clock } from '../clock.ts'
import type { IdSource } from '../ids.ts'
import type { Log } from '../log.ts'
import type { Secret } from '../secret.ts'
import { request } from '../upstream/request.ts'
import type { UpstreamClient } from '../upstream/upstream-client.ts'
import type { Role } from './principal.ts'
import { type Client, emailProblem, normalEmail, type SignedIn, type SignIn } from './sign-in.ts'
import type { SingleSignOnStore } from './single-sign-on.store.ts'

/** An identity provider, and what its groups may do here. */
export interface OidcSettings {
  name: string
  issuer: string
  clientId: string
  /** Undefined for a public client. */
  clientSecret?: Secret | undefined
  redirectUri: string
  scopes: readonly string[]
  groupsClaim: string
  roles: readonly GroupRole[]
}

export interface GroupRole {
  group: string
  role: Role
  /** Slugs; a team needs an organization. */
  organization?: string | undefined
  team?: string | undefined
}

/** Signing in at an identity provider: OpenID Connect, authorization code with PKCE. */
export interface SingleSignOn {
  /** What people are shown; undefined when there is none. */
  readonly name: string | undefined
  /**
   * @param returnPath - of ours, to come back to
   * @returns where to send the browser, and what it has to bring along when it comes back
   */
  start(returnPath: string): Promise<{ redirectTo: string; browserToken: string } | SingleSignOnRefused>
  /** @param url - that the browser came back to, with its query */
  finish(
    url: URL,
    browserToken: string | undefined,
    client: Client,
  ): Promise<{ ok: true; session: SignedIn; returnPath: string } | SingleSignOnRefused>
}

export interface SingleSignOnRefused {
  ok: false
  /** A sentence to show. */
  message: string
}

export interface SingleSignOnDeps {
  /** Those in force; undefined when there are none. */
  settings(): OidcSettings | undefined
  store: SingleSignOnStore
  signIn: Pick<SignIn, 'begin'>
  client: UpstreamClient
  clock: Clock
  newId: IdSource
  log: Log
}

const loginLifeMs = 600_000
const discoveredForMs = 3_600_000

export function createSingleSignOn(deps: SingleSignOnDeps): SingleSignOn {
  const { store, signIn, clock, log } = deps
  let discovered: { issuer: string; clientId: string; atMs: number; configuration: Promise<Configuration> } | undefined

  const configurationOf = (settings: OidcSettings): Promise<Configuration> => {
    const { issuer, clientId } = settings
    const nowMs = clock.monotonicMs()
    const isKnown = discovered?.issuer === issuer && discovered.clientId === clientId
    if (!discovered || !isKnown || nowMs - discovered.atMs > discoveredForMs) {
      const configuration = discover(settings, deps.client)
      discovered = { issuer, clientId, atMs: nowMs, configuration }
      configuration.catch(() => {
        discovered = undefined
      })
    }
    return discovered.configuration
  }

  return {
    get name() {
      return deps.settings()?.name
    },

    async start(returnPath) {
      const settings = deps.settings()
      if (!settings) return notConfigured
      const oidc = await import('openid-client')
      try {
        const configuration = await configurationOf(settings)
        const [state, nonce, codeVerifier] = [oidc.randomState(), oidc.randomNonce(), oidc.randomPKCECodeVerifier()]
        const browserToken = randomBytes(32).toString('base64url')
        await store.putLogin({
          stateHash: hashOf(state),
          browserHash: hashOf(browserToken),
          nonce,
          codeVerifier,
          returnPath,
          lifeMs: loginLifeMs,
        })
        const redirectTo = oidc.buildAuthorizationUrl(configuration, {
          redirect_uri: settings.redirectUri,
          scope: settings.scopes.join(' '),
          code_challenge: await oidc.calculatePKCECodeChallenge(codeVerifier),
          code_challenge_method: 'S256',
          state,
          nonce,
        })
        return { redirectTo: redirectTo.href, browserToken }
      } catch (error) {
        log.error({ err: error, issuer: settings.issuer }, 'The identity provider cannot be used.')
        return refused('The identity provider cannot be reached. Try again, or sign in with a password.')
      }
    },

    async finish(url, browserToken, client) {
      const settings = deps.settings()
      if (!settings) return notConfigured
      const state = url.searchParams.get('state') ?? ''
      const login = browserToken ? await store.takeLogin(hashOf(state), hashOf(browserToken)) : undefined
      if (!login) return refused('This sign-in was not begun in this browser, or took too long. Begin again.')
      const oidc = await import('openid-client')
      let claims: Record<string, unknown>
      try {
        const configuration = await configurationOf(settings)
        const back = new URL(settings.redirectUri)
        back.search = url.search
        const tokens = await oidc.authorizationCodeGrant(configuration, back, {
          pkceCodeVerifier: login.codeVerifier,
          expectedState: state,
          expectedNonce: login.nonce,
          idTokenExpected: true,
        })
        claims = { ...tokens.claims() }
        // Many providers keep the identity token small.
        if (claims.email === undefined || claims[settings.groupsClaim] === undefined) {
          const subject = String(claims.sub)
          const more = await oidc.fetchUserInfo(configuration, tokens.access_token, subject).catch(() => ({}))
          claims = { ...more, ...claims }
        }
      } catch (error) {
        log.warn({ err: error, issuer: settings.issuer }, 'A sign-in at the identity provider has failed.')
        return refused('The identity provider has not confirmed the sign-in. Begin again.')
      }
      const { sub, email, email_verified: isVerified, name } = claims
      if (typeof email !== 'string' || emailProblem(email)) {
        return refused('The identity provider has told no email address. Ask for the scope "email".')
      }
      const groups = new Set(groupsIn(claims[settings.groupsClaim]))
      const roles = settings.roles.filter(({ group }) => groups.has(group))
      const account = await store.signInUser({
        issuer: settings.issuer,
        subject: String(sub),
        email: normalEmail(email),
        isEmailVerified: isVerified === true,
        displayName: typeof name === 'string' && name !== '' ? name.slice(0, 100) : normalEmail(email),
        roles,
        requestId: client.requestId,
        newId: () => deps.newId(clock.nowMs()),
      })
      if (!account.ok) return refused(account.message)
      const session = await signIn.begin({ kind: 'admin_user', id: account.id }, client)
      return { ok: true, session, returnPath: login.returnPath }
    },
  }
}

async function discover(
  { issuer, clientId, clientSecret }: OidcSettings,
  client: UpstreamClient,
): Promise<Configuration> {
  const oidc = await import('openid-client')
  const configuration = await oidc.discovery(
    new URL(issuer),
    clientId,
    undefined,
    clientSecret ? oidc.ClientSecretPost(clientSecret.reveal()) : oidc.None(),
    {
      [oidc.customFetch]: guardedFetch(client),
      // Whether an address without TLS may be asked is decided where every request goes out.
      execute: issuer.startsWith('http:') ? [oidc.allowInsecureRequests] : [],
      timeout: 10,
    },
  )
  configuration[oidc.customFetch] = guardedFetch(client)
  oidc.enableNonRepudiationChecks(configuration)
  return configuration
}

/** Requests of the library leave by the one way out. */
function guardedFetch(client: UpstreamClient): CustomFetch {
  return async (url, { method, headers, body, signal }) => {
    const answer = await request(client, {
      method: method === 'POST' ? 'POST' : 'GET',
      url,
      headers: Object.fromEntries(new Headers(headers)),
      ...(body !== undefined && body !== null && { body: String(body) }),
      timeoutMs: 10_000,
      ...(signal && { signal }),
    })
    const shown = Object.entries(answer.headers).flatMap(([name, value]): [string, string][] =>
      value === undefined ? [] : [[name, String(value)]],
    )
    return new Response(answer.text === '' ? null : answer.text, { status: answer.status, headers: shown })
  }
}

const groupsIn = (claim: unknown): string[] => {
  const list = typeof claim === 'string' ? [claim] : claim
  return Array.isArray(list) ? list.filter((group) => typeof group === 'string') : []
}

const hashOf = (text: string): Buffer => createHash('sha256').update(text).digest()

const refused = (message: string): SingleSignOnRefused => ({ ok: false, message })
const notConfigured = refused('There is no identity provider to sign in at. Sign in with a password.')
