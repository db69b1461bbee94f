import { createHash, createHmac, hkdfSync, randomBytes } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { IdSource } from '../ids.ts'
import { Secret } from '../secret.ts'
import type { AccessTokens } from './access-tokens.ts'
import { passwordProblem } from './password-rules.ts'
import type { Passwords } from './passwords.ts'
import type { Principal } from './principal.ts'
import type { Account, AttemptCounts, SessionRow, SignInStore } from './sign-in.store.ts'

/** Where a request comes from, as it is remembered beside a session. */
export interface Client {
  address: string
  userAgent: string
  /** Undefined for what no request has asked for. */
  requestId: string | undefined
}

export interface SignedIn {
  ok: true
  accessToken: string
  expiresAtMs: number
  /** For the next access token, once; 256 random bits. */
  refreshToken: Secret
}

export interface SignInRefused {
  ok: false
  reason: 'wrong_credentials' | 'throttled' | 'session_ended' | 'invalid' | 'already_set_up'
  /** A sentence to show. */
  message: string
}

/** How administrators and services come in, stay in and go. */
export interface SignIn {
  /** @throws PasswordsBusy */
  withPassword(email: string, password: string, client: Client): Promise<SignedIn | SignInRefused>
  /** @throws PasswordsBusy */
  withServiceToken(serviceName: string, token: string, client: Client): Promise<SignedIn | SignInRefused>
  /** For an account that somebody else has vouched for. */
  begin(account: Pick<Principal, 'kind' | 'id'>, client: Client): Promise<SignedIn>
  refresh(refreshToken: string, client: Client): Promise<SignedIn | SignInRefused>
  /** Who an access token stands for, as of now: what has ended or was taken away since it was made does not count. */
  principalOf(accessToken: string): Promise<{ principal: Principal; expiresAtMs: number } | undefined>
  sessions(principal: Principal): Promise<SessionRow[]>
  /** @param sessionId - undefined ends all, the one at hand included. @returns how many were in force */
  end(principal: Principal, sessionId: string | undefined, client: Client): Promise<number>
  /** The session at hand goes on; all others end. @throws PasswordsBusy */
  changePassword(
    principal: Principal,
    current: string,
    next: string,
    client: Client,
  ): Promise<{ ok: true } | SignInRefused>
  hasAdministrator(): Promise<boolean>
  /** @returns a token that creates the first administrator, once and within an hour */
  openSetup(): Promise<string>
  /** @throws PasswordsBusy */
  createFirst(first: NewAdministrator, client: Client): Promise<{ ok: true } | SignInRefused>
}

export interface NewAdministrator {
  email: string
  displayName: string
  password: string
  /** Undefined when the configuration says so, and not somebody over the network. */
  setupToken: string | undefined
}

export interface SignInDeps {
  store: SignInStore
  passwords: Passwords
  tokens: AccessTokens
  /** What refresh tokens follow from: see `nextRefreshToken`. */
  masterKey: Buffer
  clock: Clock
  newId: IdSource
}

const windowMs = 15 * 60_000
const failuresMax = { here: 5, account: 20, address: 100 } as const
const idleMs = 12 * 3_600_000
const absoluteMs = 7 * 24 * 3_600_000
const repeatMs = 10_000
const setupLifeMs = 3_600_000
const secretLengthMax = 256

export function createSignIn(deps: SignInDeps): SignIn {
  const { store, passwords, tokens, clock } = deps
  const newId = (): string => deps.newId(clock.nowMs())
  const refreshKey = Buffer.from(hkdfSync('sha256', deps.masterKey, '', 'llmgw admin refresh tokens v1', 32))
  const actorOf = ({ kind, id }: Pick<Principal, 'kind' | 'id'>, { requestId }: Client) => ({
    id: newId(),
    actor: { kind, id, requestId },
  })

  const attempt = async (
    name: string,
    secret: string,
    client: Client,
    find: () => Promise<Account | undefined>,
  ): Promise<SignedIn | SignInRefused> => {
    // What is too long is no password, and hashing it would be somebody else's way to spend our time.
    if (secret.length > secretLengthMax) return wrongCredentials
    const attemptId = newId()
    const counts = await store.noteAttempt({ id: attemptId, account: name, clientAddress: client.address, windowMs })
    if (isTooMany(counts)) return throttled
    const account = await find()
    const { ok, isOutdated } = await passwords.verify(secret, account?.secretHash)
    if (!ok || !account?.isUsable) return wrongCredentials
    await store.forgetAttempt(attemptId)
    return begin(account, client, isOutdated ? await passwords.hash(secret) : undefined)
  }

  const begin = async (
    { kind, id }: Pick<Principal, 'kind' | 'id'>,
    client: Client,
    rehashed: string | undefined,
  ): Promise<SignedIn> => {
    const refreshToken = randomBytes(32).toString('base64url')
    const familyId = newId()
    await store.begin(
      {
        id: familyId,
        familyId,
        kind,
        accountId: id,
        tokenHash: hashOf(refreshToken),
        clientAddress: client.address,
        userAgent: client.userAgent,
        lifeMs: idleMs,
        audit: actorOf({ kind, id }, client),
      },
      rehashed,
    )
    return signedIn(kind, id, familyId, refreshToken)
  }

  const signedIn = async (
    kind: Principal['kind'],
    id: string,
    sessionId: string,
    refreshToken: string,
  ): Promise<SignedIn> => {
    const { token, expiresAtMs } = await tokens.issue({ kind, id, sessionId, tokenId: newId() })
    return { ok: true, accessToken: token, expiresAtMs, refreshToken: new Secret(refreshToken) }
  }

  return {
    withPassword: (email, password, client) => {
      const name = normalEmail(email)
      return attempt(name, password, client, () => store.userByEmail(name))
    },
    withServiceToken: (serviceName, token, client) =>
      attempt(`service ${serviceName}`, token, client, () => store.tokenByName(serviceName)),
    begin: (account, client) => begin(account, client, undefined),

    async refresh(refreshToken, client) {
      if (!/^[\w-]{43}$/.test(refreshToken)) return sessionEnded
      const next = nextRefreshToken(refreshKey, refreshToken)
      const rotated = await store.rotate({
        tokenHash: hashOf(refreshToken),
        nextId: newId(),
        nextTokenHash: hashOf(next),
        clientAddress: client.address,
        userAgent: client.userAgent,
        idleMs,
        absoluteMs,
        repeatMs,
        auditId: newId(),
      })
      if (rotated.outcome !== 'rotated') return sessionEnded
      const { kind, accountId, sessionId } = rotated
      // Of an account that is disabled, nothing is left to refresh.
      if (!(await store.principal(kind, accountId, sessionId))) return sessionEnded
      return signedIn(kind, accountId, sessionId, next)
    },

    async principalOf(accessToken) {
      const verified = await tokens.verify(accessToken)
      if (!verified) return undefined
      const principal = await store.principal(verified.kind, verified.id, verified.sessionId)
      return principal && { principal, expiresAtMs: verified.expiresAtMs }
    },

    sessions: (principal) => store.sessions(principal),
    end: (principal, sessionId, client) => store.end(principal, sessionId, actorOf(principal, client)),

    async changePassword(principal, current, next, client) {
      const problem = passwordProblem(next)
      if (problem) return { ok: false, reason: 'invalid', message: problem }
      if (current.length > secretLengthMax) return wrongPassword
      // Somebody else may sit before an open session: guessing is as slow here as at the door.
      const attemptId = newId()
      const noted = { id: attemptId, account: principal.name, clientAddress: client.address, windowMs }
      if (isTooMany(await store.noteAttempt(noted))) return throttled
      const account = principal.kind === 'admin_user' ? await store.userById(principal.id) : undefined
      const { ok } = await passwords.verify(current, account?.secretHash)
      if (!ok) return wrongPassword
      await store.forgetAttempt(attemptId)
      const hash = await passwords.hash(next)
      await store.changePassword(principal.id, hash, principal.sessionId, actorOf(principal, client))
      return { ok: true }
    },

    hasAdministrator: () => store.hasAdministrator(),
    async openSetup() {
      const token = randomBytes(32).toString('base64url')
      await store.putSetupToken(hashOf(token), setupLifeMs)
      return token
    },
    async createFirst({ email, displayName, password, setupToken }, client) {
      const problem = emailProblem(email) ?? passwordProblem(password)
      if (problem) return { ok: false, reason: 'invalid', message: problem }
      const isCreated = await store.createFirst({
        id: newId(),
        bindingId: newId(),
        email: normalEmail(email),
        displayName,
        passwordHash: await passwords.hash(password),
        setupTokenHash: setupToken === undefined ? undefined : hashOf(setupToken),
        audit: { id: newId(), actor: { kind: 'system', id: undefined, requestId: client.requestId } },
      })
      return isCreated ? { ok: true } : setUpAlready
    },
  }
}

const isTooMany = (counts: AttemptCounts): boolean =>
  (Object.keys(failuresMax) as (keyof typeof failuresMax)[]).some((scope) => counts[scope] > failuresMax[scope])

export const normalEmail = (email: string): string => email.trim().toLowerCase()

/** @returns why not, as a sentence */
export const emailProblem = (email: string): string | undefined =>
  /^[^\s@]{1,64}@[^\s@]{1,190}$/.test(normalEmail(email))
    ? undefined
    : 'An email address has the form name@example.com.'

/**
 * The successor of a refresh token follows from it, so that whoever repeats a request within a moment gets the same one,
 * although the database has nothing but hashes.
 */
const nextRefreshToken = (key: Buffer, token: string): string =>
  createHmac('sha256', key).update(token).digest('base64url')

const hashOf = (token: string): Buffer => createHash('sha256').update(token).digest()

const wrongCredentials: SignInRefused = {
  ok: false,
  reason: 'wrong_credentials',
  message: 'Name and secret do not belong together, or the account may not sign in.',
}
const wrongPassword: SignInRefused = { ...wrongCredentials, message: 'The current password is another one.' }
const throttled: SignInRefused = {
  ok: false,
  reason: 'throttled',
  message: 'Too many attempts have failed. Try again in 15 minutes.',
}
const sessionEnded: SignInRefused = {
  ok: false,
  reason: 'session_ended',
  message: 'The session has ended. Sign in again.',
}
const setUpAlready: SignInRefused = {
  ok: false,
  reason: 'already_set_up',
  message: 'The link is not in force: it was used, an hour has passed, or there is an administrator already.',
}
