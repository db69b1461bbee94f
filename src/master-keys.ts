import type { EnvironmentSettings } from './config/environment.ts'
import { parseRootSecret } from './core/data-folder/root-secrets.ts'
import type { MasterKeys } from './core/secrets/open-keyring.store.ts'

/**
 * The master keys a process has: its own, and those of a rotation.
 *
 * @param current - 32 bytes, from the environment or the data folder
 */
export const masterKeysOf = (
  { previousMasterKeys }: Pick<EnvironmentSettings, 'previousMasterKeys'>,
  current: Buffer,
): MasterKeys => ({
  current,
  others: previousMasterKeys.map((secret) => parseRootSecret(secret.reveal(), 'LLMGW_PREVIOUS_MASTER_KEYS')),
})
