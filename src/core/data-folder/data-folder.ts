import { mkdir, realpath } from 'node:fs/promises'
import path from 'node:path'
import { StartRefusal } from '../start-refusal.ts'
import { lockFolder } from './folder-lock.ts'
import { openRootSecrets, type RootSecretName, type RootSecrets } from './root-secrets.ts'

export interface DataFolderOptions {
  /** LLMGW_DATA_DIR; made, with mode 0700, when it is not there. */
  dir: string
  /** Root secrets from the environment; they win over the folder's. */
  givenSecrets?: Partial<Record<RootSecretName, string | undefined>>
}

export interface DataFolder {
  /** Absolute, links resolved. */
  readonly path: string
  readonly secrets: RootSecrets
  /** Lets the next start have the folder. */
  close(): Promise<void>
}

/**
 * Opens the folder where the gateway keeps what must survive a restart, for this process alone.
 *
 * @throws StartRefusal when another gateway uses it, when it cannot be written, or when a secret is not one
 */
export async function openDataFolder({ dir, givenSecrets = {} }: DataFolderOptions): Promise<DataFolder> {
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 })
    const folder = await realpath(dir)
    const lock = await lockFolder(folder)
    try {
      const secrets = await openRootSecrets(path.join(folder, 'secrets'), givenSecrets)
      return { path: folder, secrets, close: () => lock.release() }
    } catch (error) {
      await lock.release()
      throw error
    }
  } catch (error) {
    if (error instanceof StartRefusal) throw error
    const { code, path: at } = error as NodeJS.ErrnoException
    throw new StartRefusal(
      'data_folder_unusable',
      `The data folder ${dir} cannot be used (${code ?? 'error'} at ${at ?? dir}). Give the gateway a folder that it may ` +
        'write to (LLMGW_DATA_DIR).',
      { cause: error },
    )
  }
}
