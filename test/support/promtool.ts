import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const cache = join(tmpdir(), 'llmgw-promtool')

/**
 * Prometheus's own checker of rules: of this machine, or out of Debian's package, which is unpacked and not installed.
 *
 * @returns undefined where there is none to be had
 */
export async function promtool(): Promise<string | undefined> {
  const folders = [...(process.env.PATH ?? '').split(delimiter), cache]
  const found = folders.map((folder) => join(folder, 'promtool')).find(isExecutable)
  if (found) return found
  const folder = await mkdtemp(join(tmpdir(), 'llmgw-promtool-'))
  try {
    await run('apt-get', ['download', 'prometheus'], { cwd: folder, timeout: 120_000 })
    const [archive] = await readdir(folder)
    await run('dpkg-deb', ['--extract', archive ?? '', 'unpacked'], { cwd: folder, timeout: 60_000 })
    await mkdir(cache, { recursive: true })
    await rename(join(folder, 'unpacked/usr/bin/promtool'), join(cache, 'promtool'))
    return join(cache, 'promtool')
  } catch {
    return undefined
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
