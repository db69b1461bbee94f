import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')

/** A rule that no longer compiles is only a notice to the linter, so each one has to prove that it still bites. */
const violations = [
  { file: 'src/core/keys/keys.ts', line: `import fastify from 'fastify'`, says: 'Core must not know its doors' },
  { file: 'src/core/keys/keys.ts', line: `await import('@grpc/grpc-js')`, says: 'Core must not know its doors' },
  { file: 'src/core/ids.ts', line: `import { x } from '../app.ts'`, says: 'Core imports only core' },
  { file: 'src/core/keys/keys.ts', line: `import type { X } from '../../config/x.ts'`, says: 'Core imports only core' },
  { file: 'src/core/providers/x/x.ts', line: `export { x } from '../../../cli.ts'`, says: 'Core imports only core' },
  { file: 'src/proxy/rest/server.ts', line: `import { x } from '../../admin/x.ts'`, says: 'never import each other' },
  { file: 'src/admin/resolvers/x.ts', line: `import { x } from '../../proxy/x.ts'`, says: 'never import each other' },
  { file: 'src/core/limits/limiter.ts', line: `import { Redis } from 'ioredis'`, says: 'Only *.redis.ts' },
  { file: 'src/core/blobs/blob-store.ts', line: `import { S3 } from '@aws-sdk/client-s3'`, says: 'Only *.s3.ts' },
  { file: 'src/core/keys/keys.ts', line: `import { Pool } from 'pg'`, says: 'Only *.store.ts and src/core/db' },
  {
    file: 'src/app.ts',
    line: `import { MikroORM } from '@mikro-orm/postgresql'`,
    says: 'Only *.store.ts and src/core/db',
  },
  { file: 'src/proxy/rest/server.ts', line: `export const x = 'bedrock'`, says: "A provider's quirks" },
  { file: 'src/app.ts', line: `import { x } from './core/providers/openai/x.ts'`, says: "A provider's quirks" },
  { file: 'src/app.ts', line: 'export const x = process.env.X', says: 'read the environment' },
  { file: 'src/app.ts', line: `import { env } from 'node:process'`, says: 'read the environment' },
  { file: 'src/app.ts', line: `console.log('x')`, says: 'Only the command line writes to the console' },
]

const allowed = [
  { file: 'src/core/limits/limiter.redis.ts', line: `import { Redis } from 'ioredis'` },
  { file: 'src/core/blobs/blob-store.s3.ts', line: `import { S3 } from '@aws-sdk/client-s3'` },
  { file: 'src/core/keys/keys.store.ts', line: `import { Pool } from 'pg'` },
  { file: 'src/core/db/pool.ts', line: `import { Pool } from 'pg'` },
  { file: 'src/app.ts', line: `import type { Pool } from 'pg'` },
  { file: 'src/core/keys/keys.ts', line: `import { x } from '../config/x.ts'` },
  { file: 'src/core/providers/openai/x.ts', line: `import { x } from '../../upstream/x.ts'` },
  { file: 'src/core/providers/registry.ts', line: `import { x } from './openai/x.ts'` },
  { file: 'src/config/environment.ts', line: `export const x = process.env.X ?? 'openai'` },
  { file: 'src/cli/keys.ts', line: `console.log('x')` },
]

test('every boundary between the parts of the source is held by a lint rule that says why', async () => {
  const found = await lint(violations)
  for (const [index, { line, says }] of violations.entries()) {
    expect(found.get(index), line).toEqual([expect.stringContaining(says)])
  }
})

test('what has a right to cross a boundary is let through', async () => {
  expect(await lint(allowed)).toEqual(new Map())
})

/** @returns what the boundary rules say, by the index of the line */
async function lint(lines: readonly { file: string; line: string }[]): Promise<Map<number, string[]>> {
  const folder = await mkdtemp(join(tmpdir(), 'llmgw-boundaries-'))
  try {
    await cp(join(root, 'biome.json'), join(folder, 'biome.json'))
    await cp(join(import.meta.dirname, 'boundaries'), join(folder, 'test/architecture/boundaries'), { recursive: true })
    const indexByFile = new Map<string, number>()
    for (const [index, { file, line }] of lines.entries()) {
      // A file for each line, since several lines may be for the same one; the rules see its folder and its ending.
      const name = join(dirname(file), `${index}-${basename(file)}`)
      indexByFile.set(name, index)
      await mkdir(dirname(join(folder, name)), { recursive: true })
      await writeFile(join(folder, name), `${line}\n`)
    }
    const messages = new Map<number, string[]>()
    for (const { path, message } of await diagnosticsOf(folder)) {
      const index = indexByFile.get(path)
      if (index !== undefined) messages.set(index, [...(messages.get(index) ?? []), message])
    }
    return messages
  } finally {
    await rm(folder, { recursive: true })
  }
}

function diagnosticsOf(folder: string): Promise<{ path: string; message: string }[]> {
  const biome = fileURLToPath(import.meta.resolve('@biomejs/biome/bin/biome'))
  const parameters = [biome, 'lint', '--only=plugin', '--reporter=json', '--max-diagnostics=none']
  return new Promise((resolve, reject) => {
    // It exits with 1 when it has found something.
    execFile(process.execPath, parameters, { cwd: folder }, (error, stdout, stderr) => {
      try {
        const report: { diagnostics: { message: string; location: { path: string } }[] } = JSON.parse(stdout)
        resolve(report.diagnostics.map(({ message, location }) => ({ message, path: location.path })))
      } catch {
        reject(new Error(`biome gave no report: ${stderr}`, { cause: error }))
      }
    })
  })
}
