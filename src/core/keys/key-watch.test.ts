import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { ChangedKey } from './key-look-up.store.ts'
import { openKeyWatch } from './key-watch.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function openBench(answers: (ChangedKey[] | Error)[], policyVersions: string[] = []) {
  const asked: (string | undefined)[] = []
  const invalidated: string[] = []
  let distrusted = 0
  const watch = openKeyWatch({
    lookUp: {
      async changedSince(since) {
        asked.push(since)
        const answer = answers.shift() ?? []
        if (answer instanceof Error) throw answer
        return { changes: answer, until: `t${asked.length}`, policyVersion: policyVersions.shift() ?? '7' }
      },
    },
    cache: { invalidate: (keyId) => invalidated.push(keyId), distrustAll: () => void distrusted++ },
    log: { debug() {}, info() {}, warn() {}, error() {} },
  })
  return { watch, asked, invalidated, distrusted: () => distrusted, poll: () => vi.advanceTimersByTimeAsync(5_000) }
}

test('a changed key is invalidated within a poll, once for each change', async () => {
  const { watch, asked, invalidated, poll } = openBench([
    [],
    [{ id: 'k1', at: '1', endsCalls: false }],
    [{ id: 'k1', at: '1', endsCalls: false }],
    [
      { id: 'k1', at: '2', endsCalls: false },
      { id: 'k2', at: '2', endsCalls: false },
    ],
  ])
  await poll()
  expect(invalidated).toEqual(['k1'])
  await poll()
  expect(invalidated).toEqual(['k1'])
  await poll()
  expect(invalidated).toEqual(['k1', 'k1', 'k2'])
  expect(asked).toEqual([undefined, 't1', 't2', 't3'])
  await watch.close()
})

test('what was missed while the database was away is asked for once it is back', async () => {
  const { watch, asked, invalidated, poll } = openBench([
    [],
    new Error('down'),
    new Error('down'),
    [{ id: 'k1', at: '1', endsCalls: false }],
  ])
  await poll()
  await poll()
  await poll()
  expect(asked).toEqual([undefined, 't1', 't1', 't1'])
  expect(invalidated).toEqual(['k1'])
  await watch.close()
})

test('asks no more once it is closed', async () => {
  const { watch, asked, poll } = openBench([])
  await poll()
  await watch.close()
  await poll()
  expect(asked).toHaveLength(2)
})

test('a changed rate limit or budget makes every key be read again, and an unchanged one none', async () => {
  const { watch, distrusted, poll } = openBench([], ['3', '3', '4', '4'])
  await poll()
  expect(distrusted()).toBe(0)
  await poll()
  expect(distrusted()).toBe(1)
  await poll()
  expect(distrusted()).toBe(1)
  await watch.close()
})
