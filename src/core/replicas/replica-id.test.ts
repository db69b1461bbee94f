import { expect, test } from 'vitest'
import { createReplicaId } from './replica-id.ts'

test('two starts on one host, whatever their pids, have names of their own', () => {
  const ids = Array.from({ length: 1_000 }, () => createReplicaId('web-7f'))
  expect(new Set(ids).size).toBe(1_000)
  for (const id of ids) expect(id).toMatch(/^web-7f-[0-9a-f]{8}$/)
})
