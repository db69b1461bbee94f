import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'
import { redisServerBinary } from './redis-server-binary.ts'

const run = promisify(execFile)

/**
 * Installs redis-server where it is missing and that can be done: as root on Debian and its kin. The service that comes
 * with the package is stopped, for tests start servers of their own. Where it fails, the suites that need it are skipped.
 */
export async function installRedisServer(): Promise<void> {
  if (redisServerBinary() !== undefined || process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const install = () => run('apt-get', ['install', '--yes', 'redis-server'], { env: environment, timeout: 300_000 })
  try {
    await install().catch(async () => {
      await run('apt-get', ['update'], { env: environment, timeout: 300_000 })
      await install()
    })
    await run('service', ['redis-server', 'stop']).catch(() => {}) // it does not run where there is no init
  } catch (error) {
    console.warn(`redis-server was not installed: ${(error as Error).message}`)
  }
}
