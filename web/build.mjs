// Builds the pages. Where packages were installed without those for development there is nothing to build with, and the
// gateway serves everything but the pages.
import { existsSync } from 'node:fs'
import { join } from 'node:path'

const isAsked = process.argv.includes('--required')
const hasVite = existsSync(join(import.meta.dirname, '../node_modules/vite'))
if (hasVite) {
  const { build } = await import('vite')
  await build({ root: join(import.meta.dirname, 'playground'), logLevel: 'error' })
} else if (isAsked) {
  process.stderr.write('The pages are built with packages for development: run "npm ci" without --omit=dev first.\n')
  process.exitCode = 1
}
