import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Log } from '../log.ts'
import { StartRefusal } from '../start-refusal.ts'
import { claimJournals, type JournalClaims } from './journal-claims.ts'

let path: string
const claims: JournalClaims[] = []
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'llmgw-claims-'))
})
afterEach(async () => {
  for (const claim of claims.splice(0)) await claim.close()
  rmSync(path, { recursive: true, force: true })
})

const errors: string[] = []
const log: Log = { debug() {}, info() {}, warn() {}, error: (_fields, message) => void errors.push(message) }

async function claim(owner: string, owners: readonly string[], adopts = false, waitMsMax = 0): Promise<JournalClaims> {
  const claimed = await claimJournals({ path, owner, owners, adopts, waitMsMax, log })
  claims.push(claimed)
  return claimed
}

const leave = (...owners: string[]): void => {
  for (const owner of owners) mkdirSync(join(path, owner), { recursive: true })
}

/** A process of its own that has a journal, as a worker that has outlived its gateway. */
async function holdInAnotherProcess(owner: string): Promise<ChildProcess> {
  const module = new URL('../data-folder/folder-lock.ts', import.meta.url).href
  const script = `const { lockFolder } = await import(${JSON.stringify(module)})
    await lockFolder(${JSON.stringify(join(path, owner))}); console.log('held'); setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout as NonNullable<typeof child.stdout>, 'data')
  return child
}

async function end(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

test('nothing is there before the first start', async () => {
  rmSync(path, { recursive: true })
  expect((await claim('main', ['main'], true)).formerOwners).toEqual([])
})

test('a single process adopts what workers have left, and workers what a single process has', async () => {
  leave('main', 'worker-1', 'worker-2')
  const single = await claim('main', ['main'], true)
  expect(single.formerOwners).toEqual(['worker-1', 'worker-2'])
  await single.close()

  const names = ['worker-1', 'worker-2']
  leave('worker-3')
  const first = await claim('worker-1', names, true)
  const second = await claim('worker-2', names)
  expect(first.formerOwners).toEqual(['main', 'worker-3'])
  expect(second.formerOwners).toEqual([])
})

test('what has been adopted may be claimed again, and closing lets go of everything', async () => {
  leave('worker-3')
  const names = ['worker-1', 'worker-2']
  const first = await claim('worker-1', names, true)
  expect((await claim('worker-2', names, true)).formerOwners).toEqual([])
  await first.adopted()
  const again = await claimJournals({ path, owner: 'worker-9', owners: [...names, 'worker-9'], adopts: true, log })
  expect(again.formerOwners).toEqual(['worker-3'])
  await again.close()
  await first.close()
  for (const owner of ['worker-1', 'worker-3', 'worker-9']) expect(readdirSync(join(path, owner))).toEqual([])
})

test('the journal of a worker that still lives is neither written nor adopted', async () => {
  leave('worker-1', 'worker-3')
  const alive = [await holdInAnotherProcess('worker-1'), await holdInAnotherProcess('worker-3')]
  const names = ['worker-1', 'worker-2']
  await expect(claim('worker-1', names)).rejects.toThrow(StartRefusal)
  errors.length = 0
  expect((await claim('worker-2', names, true)).formerOwners).toEqual([])
  expect(errors).toEqual(['The journal of a former worker cannot be adopted; the next start will.'])

  const waiting = claim('worker-1', names, false, 30_000)
  for (const child of alive) await end(child)
  await waiting
  const { pid } = JSON.parse(readFileSync(join(path, 'worker-1', 'gateway.lock'), 'utf8'))
  expect(pid).toBe(process.pid)
})
