import type { Clock } from '../clock.ts'
import { GatewayError } from '../errors.ts'
import type { Log } from '../log.ts'
import { liveCaller } from './authenticate.ts'
import type { Caller } from './caller.ts'
import { createKeyCache, type KeyCache, type KeyRecord } from './key-cache.ts'
import type { KeyLookUp } from './key-look-up.store.ts'
import type { KeyStore } from './keys.store.ts'

/** Keys that stand behind something else than their secret, a client certificate for instance: found by name. */
export interface NamedKeys extends Pick<KeyCache, 'invalidate' | 'distrustAll'> {
  /**
   * @returns at once when the key is known, else when the store has answered
   * @throws GatewayError `invalid_api_key` when no key, or more than one, has this name; `key_revoked`, `key_expired`,
   *   or `auth_unavailable` when the store cannot say
   */
  get(name: string): Caller | Promise<Caller>
}

export interface NamedKeysDeps {
  store: Pick<KeyStore, 'findByName'>
  lookUp: Pick<KeyLookUp, 'findById'>
  clock: Clock
  log: Log
}

export function createNamedKeys({ store, lookUp, clock, log }: NamedKeysDeps): NamedKeys {
  const load = async (name: string): Promise<KeyRecord | undefined> => {
    const [only, ...others] = (await store.findByName(name)).filter(({ revokedAtMs }) => revokedAtMs === undefined)
    return only && others.length === 0 ? lookUp.findById(only.id) : undefined
  }
  const cache = createKeyCache({ load, clock, log })
  const admitted = (name: string, record: KeyRecord | null): Caller => {
    if (record) return liveCaller(record, clock)
    throw new GatewayError('invalid_api_key', `There is no API key with the name "${name}", or there are several.`)
  }
  return {
    get(name) {
      const found = cache.get(name, name)
      return found instanceof Promise ? found.then((record) => admitted(name, record)) : admitted(name, found)
    },
    invalidate: cache.invalidate,
    distrustAll: cache.distrustAll,
  }
}
