import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'
import { type Browser, chromium } from 'playwright-core'

const run = promisify(execFile)

const binaries = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** @returns undefined where there is none and none can be installed; a suite is skipped then */
export async function chromiumBinary(): Promise<string | undefined> {
  const found = () => binaries.find((path) => existsSync(path))
  if (found() === undefined && process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) await install()
  return found()
}

export const launchChromium = (executablePath: string): Promise<Browser> =>
  chromium.launch({
    executablePath,
    // The sandbox needs what root in a container does not have.
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
  })

async function install(): Promise<void> {
  const options = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }, timeout: 300_000 }
  const aptGet = () => run('apt-get', ['install', '--yes', '--no-install-recommends', 'chromium'], options)
  try {
    await aptGet().catch(async () => {
      await run('apt-get', ['update'], options)
      await aptGet()
    })
  } catch (error) {
    console.warn(`chromium was not installed: ${(error as Error).message}`)
  }
}
