import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'

interface Lockfile {
  packages: Record<string, { optionalDependencies?: Record<string, string> }>
}

/**
 * A lockfile without a package that another one declares as optional makes `npm ci` refuse to install, although
 * `npm install` has just succeeded. It happens when a registry lacks the builds for another platform.
 */
test('the lockfile holds every optional package that a locked package declares', async () => {
  const text = await readFile(join(import.meta.dirname, '../../package-lock.json'), 'utf8')
  const { packages }: Lockfile = JSON.parse(text)
  const locked = Object.keys(packages)
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies)
      .filter(
        (name) => !locked.some((other) => other === `node_modules/${name}` || other.endsWith(`/node_modules/${name}`)),
      )
      .map((name) => `${path || 'package.json'} lacks ${name}`),
  )
  expect(missing).toEqual([])
})
