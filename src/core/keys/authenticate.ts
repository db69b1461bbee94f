import type { Clock } from '../clock.ts'
import { GatewayError } from '../errors.ts'
import type { Caller } from './caller.ts'
import type { KeyCache, KeyRecord } from './key-cache.ts'
import type { KeyDigester } from './key-digest.ts'
import { classifySecret } from './key-format.ts'
import type { KeyLookUp } from './key-look-up.store.ts'

/**
 * Whose key is this, and is it alive?
 *
 * @param credential - the secret as presented; undefined when the client sent none
 * @returns the caller, at once when the key is known, else when the store has answered
 * @throws GatewayError `invalid_api_key`, `key_revoked`, `key_expired`, or `auth_unavailable` when the store cannot say
 */
export type Authenticate = (credential: string | undefined) => Caller | Promise<Caller>

export interface AuthenticatorDeps {
  digester: KeyDigester
  cache: KeyCache
  clock: Clock
}

export function createAuthenticator({ digester, cache, clock }: AuthenticatorDeps): Authenticate {
  const admitted = (record: KeyRecord | null): Caller => {
    if (record === null) throw unknownKey()
    return liveCaller(record, clock)
  }
  return (credential) => {
    if (credential === undefined) throw missingKey()
    const secretClass = classifySecret(credential)
    if (secretClass === 'ours-bad-checksum') throw damagedKey()
    if (secretClass === 'malformed') throw malformedKey()
    const found = cache.get(digester.digest(credential), credential)
    return found instanceof Promise ? found.then(admitted) : admitted(found)
  }
}

/** @throws GatewayError `key_revoked` or `key_expired` */
export function liveCaller({ caller, status }: KeyRecord, clock: Clock): Caller {
  if (status !== 'active') throw deadKey(caller, status)
  // At every call and not when the entry was read: a key may run out while it is cached.
  if (caller.expiresAtMs !== undefined && clock.nowMs() >= caller.expiresAtMs) throw expiredKey(caller.expiresAtMs)
  return caller
}

/** How the cache asks the store: under every pepper in use, in one query. */
export function createKeyLoad(
  lookUp: Pick<KeyLookUp, 'findByDigests'>,
  digester: KeyDigester,
): (secret: string) => Promise<KeyRecord | undefined> {
  return (secret) => lookUp.findByDigests(digester.digests(secret).map(({ bytes }) => bytes))
}

/**
 * Reads the keys used of late into the cache, so that a restart does not send every caller to the database at once.
 * Keys that still carry a previous pepper are left to their first call.
 */
export function warm(
  { cache, digester, lookUp }: { cache: KeyCache; digester: KeyDigester; lookUp: Pick<KeyLookUp, 'recentlyUsed'> },
  keysMax = 10_000,
): Promise<void> {
  return cache.warm(() => lookUp.recentlyUsed(digester.pepperId, keysMax))
}

const missingKey = (): GatewayError =>
  new GatewayError('invalid_api_key', 'No API key was sent. Send one in the header "Authorization: Bearer <key>".')

const malformedKey = (): GatewayError =>
  new GatewayError(
    'invalid_api_key',
    'What was sent as API key cannot be one. Send a key of this gateway in the header "Authorization: Bearer <key>".',
  )

const damagedKey = (): GatewayError =>
  new GatewayError(
    'invalid_api_key',
    'The API key is incomplete or mistyped: its checksum is wrong. Copy it once more.',
  )

const unknownKey = (): GatewayError =>
  new GatewayError(
    'invalid_api_key',
    'No such API key. Check that it is a key of this gateway and not one of a provider.',
  )

const deadKey = ({ keyName }: Caller, status: 'disabled' | 'revoked'): GatewayError =>
  new GatewayError(
    'key_revoked',
    status === 'revoked'
      ? `The API key "${keyName}" was revoked. Use another one, or ask an administrator for a new one.`
      : `The API key "${keyName}" is disabled. Ask an administrator to enable it, or use another one.`,
  )

const expiredKey = (expiresAtMs: number): GatewayError =>
  new GatewayError(
    'key_expired',
    `The API key expired on ${new Date(expiresAtMs).toISOString()}. Ask an administrator for a new one.`,
  )
