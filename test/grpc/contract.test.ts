import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
const proto = join(root, 'proto')
const released = join(proto, 'released/llmgw.json')

/** @returns what buf complains of, a line each */
async function buf(cwd: string, ...args: string[]): Promise<string[]> {
  const { stdout } = await promisify(execFile)(join(root, 'node_modules/.bin/buf'), args, { cwd }).catch(
    (error: { stdout?: string; stderr?: string }) => {
      // With complaints it exits with 100 and prints them; anything else is a failure of its own.
      if (!error.stdout) throw new Error(error.stderr, { cause: error })
      return { stdout: error.stdout }
    },
  )
  return stdout.split('\n').filter((line) => line !== '')
}

/** The contract as somebody has changed it. */
async function changed(file: string, from: string, to: string) {
  const folder = await mkdtemp(join(tmpdir(), 'llmgw-proto-'))
  await cp(proto, folder, { recursive: true })
  const path = join(folder, 'thinkpixel/llmgw/v1', file)
  const text = await readFile(path, 'utf8')
  expect(text).toContain(from)
  await writeFile(path, text.replace(from, to))
  return { folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) }
}

test('the contract keeps to the rules of its field, with a comment on everything', async () => {
  expect(await buf(proto, 'lint')).toEqual([])
})

test('what nobody describes is found', async () => {
  await using contract = await changed('chat_service.proto', '  // From 0.\n', '')
  expect(await buf(contract.folder, 'lint')).toEqual([expect.stringMatching(/Field "index" should have a non-empty/)])
})

test('nothing that a released contract promised is broken', async () => {
  expect(await buf(proto, 'breaking', '--against', released)).toEqual([])
})

test('what would break a client is found', async () => {
  await using contract = await changed('chat.proto', 'string model = 1;', 'string model = 23;')
  expect(await buf(contract.folder, 'breaking', '--against', released)).toContainEqual(
    expect.stringMatching(/Previously present field "1" with name "model" on message "ChatRequest" was deleted/),
  )
})
