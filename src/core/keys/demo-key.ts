import { chmod, open, readFile, rename, rm, stat } from 'node:fs/promises'
import type { KeyDigester } from './key-digest.ts'
import { classifySecret, generateSecret } from './key-format.ts'
import type { KeyStore } from './keys.store.ts'
import type { Actor, Keys } from './keys.ts'

export interface DemoKeyDeps {
  keys: Keys
  store: Pick<KeyStore, 'isEmpty' | 'findByDigests'>
  digester: KeyDigester
  /** Holds the secret, readable by its owner alone, so that every start can print a call that works. */
  secretFile: string
}

const demoKey = {
  name: 'demo',
  allowedModels: ['demo/*'],
  description: 'Made on the first start, for trying things out.',
}
const actor: Actor = { kind: 'system', id: undefined }

/**
 * Sees to it that an empty gateway has a key to try it with. Made only while no key was ever made; once revoked it
 * stays revoked.
 *
 * @returns the secret of the live demo key; undefined when there is none
 */
export async function ensureDemoKey({ keys, store, digester, secretFile }: DemoKeyDeps): Promise<string | undefined> {
  const kept = await readSecret(secretFile)
  if (kept !== undefined) {
    const key = await store.findByDigests(digester.digests(kept))
    if (key) return key.enabled && key.revokedAtMs === undefined ? kept : undefined
  }
  if (!(await store.isEmpty())) return undefined
  // The file first: a crash in between leaves a secret that the next start makes a key of, not a key nobody knows.
  const secret = kept ?? generateSecret()
  if (kept === undefined) await writeSecret(secretFile, secret)
  const created = await keys.create({ ...demoKey, secret }, actor)
  return created.ok ? secret : undefined
}

/** @returns undefined when there is no file, or one that holds no secret of ours */
async function readSecret(file: string): Promise<string | undefined> {
  let text: string
  try {
    text = (await readFile(file, 'utf8')).trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  if (classifySecret(text) !== 'ours') return undefined
  // A restored backup may have been made readable for all.
  if (((await stat(file)).mode & 0o077) !== 0) await chmod(file, 0o600)
  return text
}

async function writeSecret(file: string, secret: string): Promise<void> {
  const draft = `${file}.new`
  await rm(draft, { force: true })
  const handle = await open(draft, 'wx', 0o600)
  try {
    await handle.writeFile(`${secret}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(draft, file)
}
