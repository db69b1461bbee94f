import { readFileSync } from 'node:fs'

/**
 * Counts what we make of the bundled data. Raise it when this folder reads the same data differently, so that the next
 * start imports it again.
 */
const readingRevision = 1

/**
 * The version of the bundled prices, ours included. It does not load them: a start with nothing new to import need not
 * pay for reading 800 KB of data.
 */
export function bundledSourceVersion(): string {
  const manifest = new URL('../package.json', import.meta.resolve('@pydantic/genai-prices'))
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }
  return `${version}+${readingRevision}`
}
