import type { Clock } from '../clock.ts'
import { GatewayError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Payer } from './caller.ts'
import { createKeyCache, type KeyCache } from './key-cache.ts'
import type { KeyLookUp } from './key-look-up.store.ts'

/**
 * Keys that pay for calls of others: accounts here and not credentials, so it does not matter whether anybody could call
 * with them. They are known for as long as the database is away.
 */
export interface BillingKeys extends Pick<KeyCache, 'invalidate' | 'distrustAll'> {
  /**
   * @returns at once when the key is known, else when the store has answered; the same object until the key changes
   * @throws GatewayError `auth_unavailable` when the store cannot say; as a rejection
   */
  get(keyId: string): Payer | Promise<Payer>
}

export interface BillingKeysDeps {
  lookUp: Pick<KeyLookUp, 'findById'>
  clock: Clock
  log: Log
}

export function createBillingKeys({ lookUp, clock, log }: BillingKeysDeps): BillingKeys {
  const cache = createKeyCache({ load: lookUp.findById, clock, log, usableMs: Number.POSITIVE_INFINITY })
  return {
    get(keyId) {
      const found = cache.get(keyId, keyId)
      if (found instanceof Promise) return found.then((record) => record?.caller ?? gone(keyId))
      return found?.caller ?? gone(keyId)
    },
    invalidate: cache.invalidate,
    distrustAll: cache.distrustAll,
  }
}

/** Rows of keys stay for good, and an alias cannot name one that is not there. */
function gone(keyId: string): never {
  throw new GatewayError('internal_error', 'The key that pays for this model does not exist.', { cause: keyId })
}
