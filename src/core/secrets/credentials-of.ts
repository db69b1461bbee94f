import type { Credentials } from '../providers/credentials.ts'
import type { DeclaredConfiguration } from '../routing/declared-configuration.ts'
import type { StoredProvider } from '../routing/snapshot.store.ts'
import { credentialOrigin } from './credential-origin.ts'
import type { Keyring } from './keyring.ts'
import { openCredentials } from './open-credentials.ts'

export interface CredentialSources {
  /** What this process was given outside the database. */
  declared: DeclaredConfiguration
  keyring: Keyring
}

/**
 * The secrets of a provider. One that is declared outside the database keeps them there, and this process has read them
 * itself; every other one has them sealed in the database. Either way they go only where they were meant for: what the
 * database says about a declared provider is not enough to send its secret elsewhere.
 *
 * @throws Error, with a message fit to show
 */
export function credentialsOf(provider: StoredProvider, { declared, keyring }: CredentialSources): Credentials {
  if (provider.managedBy === 'admin') return openCredentials(keyring, provider)
  const own = declared.providers.find(({ name }) => name === provider.name)
  if (!own || Object.keys(own.credentials).length === 0) return {}
  const [meant, stored] = [credentialOrigin(own), credentialOrigin(provider)]
  if (meant !== stored) {
    throw new Error(
      `The credentials that this process was given are for ${meant}, and the database has the provider at ${stored}. ` +
        'Another gateway was started with another configuration; all of them need the same.',
    )
  }
  return Object.fromEntries(Object.entries(own.credentials).map(([field, secret]) => [field, secret.reveal()]))
}
