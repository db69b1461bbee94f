import { randomBytes } from 'node:crypto'
import { link, mkdir, open, readFile, stat, unlink } from 'node:fs/promises'
import path from 'node:path'
import { StartRefusal } from '../start-refusal.ts'

/**
 * The secrets that everything else hangs on. `master-key` wraps the keys that stored credentials are sealed with;
 * `key-pepper` goes into the digests of virtual keys. Losing either makes what it protects useless.
 */
export const rootSecretNames = ['master-key', 'key-pepper'] as const
export type RootSecretName = (typeof rootSecretNames)[number]

/** Where each may be given instead of its file. */
const variables: Readonly<Record<RootSecretName, string>> = {
  'master-key': 'LLMGW_MASTER_KEY',
  'key-pepper': 'LLMGW_KEY_PEPPER',
}

export interface RootSecrets {
  /** 32 bytes each. */
  values: Readonly<Record<RootSecretName, Buffer>>
  /** Made by this start, in the data folder: the operator should know where they are and that they need a backup. */
  generated: readonly { name: RootSecretName; file: string }[]
  /** Sentences for the operator. */
  warnings: readonly string[]
}

/**
 * Reads the root secrets, making those that are neither given nor there.
 *
 * @param folder - where their files are (mode 0700, files 0600)
 * @param given - values from the environment, base64 or hex of 32 bytes; they win over files and write none
 * @throws StartRefusal `secret_invalid`, without the value
 */
export async function openRootSecrets(
  folder: string,
  given: Partial<Record<RootSecretName, string | undefined>>,
): Promise<RootSecrets> {
  const values: Partial<Record<RootSecretName, Buffer>> = {}
  const generated: { name: RootSecretName; file: string }[] = []
  const warnings: string[] = []
  for (const name of rootSecretNames) {
    const value = given[name]
    if (value !== undefined && value !== '') {
      values[name] = parseRootSecret(value, variables[name])
      continue
    }
    const file = path.join(folder, name)
    if (await createSecretFile(file)) generated.push({ name, file })
    values[name] = parseRootSecret(await readFile(file, 'utf8'), file)
    warnings.push(...(await permissionWarnings(file)))
  }
  // The loop has filled every name.
  return { values: values as Record<RootSecretName, Buffer>, generated, warnings }
}

/** @returns whether it was made; a file that is there is never touched */
async function createSecretFile(file: string): Promise<boolean> {
  if (await stat(file).catch(() => undefined)) return false
  const folder = path.dirname(file)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const draft = `${file}.${process.pid}.new`
  await unlink(draft).catch(() => undefined)
  await using handle = await open(draft, 'wx', 0o600)
  await handle.writeFile(`${randomBytes(32).toString('base64')}\n`)
  await handle.sync()
  try {
    // Unlike a rename, a link cannot replace what somebody else put there in the meantime.
    await link(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    await unlink(draft)
  }
  await using directory = await open(folder, 'r')
  await directory.sync()
  return true
}

/**
 * @param origin - the variable or the file it comes from
 * @returns 32 bytes
 * @throws StartRefusal `secret_invalid`, without the value
 */
export function parseRootSecret(text: string, origin: string): Buffer {
  const value = text.trim()
  if (/^[0-9a-f]{64}$/i.test(value)) return Buffer.from(value, 'hex')
  if (/^[\w+/-]{43}=?$/.test(value)) return Buffer.from(value, 'base64')
  throw new StartRefusal(
    'secret_invalid',
    `${origin} must be 32 bytes, in base64 or in hexadecimal. "openssl rand -base64 32" makes such a value.`,
  )
}

async function permissionWarnings(file: string): Promise<string[]> {
  const warnings: string[] = []
  for (const [entry, wanted] of [
    [path.dirname(file), '0700'],
    [file, '0600'],
  ] as const) {
    const { mode } = await stat(entry)
    if (mode & 0o077) warnings.push(`Others than the owner have access to ${entry}; set its mode to ${wanted}.`)
  }
  return warnings
}
