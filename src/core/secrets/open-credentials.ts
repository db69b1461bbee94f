import type { Credentials } from '../providers/credentials.ts'
import type { StoredCredential, StoredProvider } from '../routing/snapshot.store.ts'
import { credentialOrigin } from './credential-origin.ts'
import { openSecret, type SealedPlace, SealedSecretError } from './envelope.ts'
import type { Keyring } from './keyring.ts'

/** Where a provider's credential lies; providers belong to no organization. */
export const credentialPlace = ({
  id,
  field,
  origin,
}: Pick<StoredCredential, 'id' | 'field' | 'origin'>): SealedPlace => ({
  tenant: 'gateway',
  table: 'provider_credentials',
  rowId: id,
  field,
  origin,
})

/**
 * Opens what a provider's secrets are sealed in. One that was entered for another origin is never used, whoever moved
 * the provider, and by whatever way.
 *
 * @throws Error, with a message fit to show
 */
export function openCredentials(keyring: Keyring, provider: StoredProvider): Credentials {
  const origin = credentialOrigin(provider)
  const opened = provider.credentials.map((credential) => {
    const { field } = credential
    if (credential.origin !== origin) {
      throw new Error(
        `The credential ${field} was entered for ${credential.origin}, and the provider is at ${origin} now. Enter it ` +
          `again: llmgw providers set-credential ${provider.name} ${field}`,
      )
    }
    try {
      return [field, openSecret(keyring, credentialPlace(credential), credential).reveal()] as const
    } catch (error) {
      if (!(error instanceof SealedSecretError)) throw error
      throw new Error(`The credential ${field} cannot be opened. ${error.message}`)
    }
  })
  return Object.fromEntries(opened)
}
