import { expect, test } from 'vitest'
import { parseEnvironment } from './config/environment.ts'
import { masterKeysOf } from './master-keys.ts'

const [a, b] = [Buffer.alloc(32, 'a'), Buffer.alloc(32, 'b')]
const current = Buffer.alloc(32, 'current')
const noFile = () => {
  throw new Error('There is no file.')
}

function othersOf(list: string) {
  const parsed = parseEnvironment({ LLMGW_PREVIOUS_MASTER_KEYS: list }, noFile)
  if (!parsed.ok) return parsed.problems
  return masterKeysOf(parsed.value, current).others
}

test('earlier master keys are listed in either notation, however they are set apart', () => {
  const [base64, hex] = [a.toString('base64'), b.toString('hex')]
  expect(othersOf('')).toEqual([])
  for (const list of [`${base64},${hex}`, ` ${base64} , ${hex},`, `${base64}\n${hex}\n`]) {
    expect(othersOf(list)).toEqual([a, b])
  }
})

test('one that is none is told by its number, not by its text', () => {
  expect(othersOf(`${a.toString('base64')},hunter2-hunter2`)).toEqual([
    { path: 'LLMGW_PREVIOUS_MASTER_KEYS', message: expect.stringMatching(/^number 2 is none: expected 32 bytes/) },
  ])
  expect(JSON.stringify(othersOf('hunter2-hunter2'))).not.toContain('hunter2')
  expect(othersOf(',')).toMatchObject([{ path: 'LLMGW_PREVIOUS_MASTER_KEYS' }])
})
