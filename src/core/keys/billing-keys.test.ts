import { expect, test } from 'vitest'
import { createBillingKeys } from './billing-keys.ts'
import type { KeyRecord } from './key-cache.ts'

const recordOf = (keyId: string): KeyRecord => ({
  status: 'revoked',
  caller: {
    keyId,
    keyName: keyId,
    organizationId: 'organization',
    teamId: null,
    allowedModels: undefined,
    expiresAtMs: 0,
    unpricedPolicy: undefined,
    tags: {},
    rateLimits: [],
    budgets: [],
  },
})

function openBench() {
  const time = { ms: 0 }
  const store = { isUp: true, asked: 0 }
  const keys = createBillingKeys({
    lookUp: {
      async findById(id) {
        store.asked++
        if (!store.isUp) throw new Error('The database is away.')
        return id === 'missing' ? undefined : recordOf(id)
      },
    },
    clock: { nowMs: () => time.ms, monotonicMs: () => time.ms },
    log: { debug() {}, info() {}, warn() {}, error() {} },
  })
  return { time, store, keys }
}

test('a key pays also when nobody may call with it, and is the same object until it changes', async () => {
  const { keys, store } = openBench()
  const payer = await keys.get('project')
  expect(payer.keyId).toBe('project')
  expect(keys.get('project')).toBe(payer)
  expect(store.asked).toBe(1)
  keys.invalidate('project')
  expect(await keys.get('project')).not.toBe(payer)
})

test('a known key pays for as long as the database is away, an unknown one is told apart', async () => {
  const { keys, store, time } = openBench()
  const payer = await keys.get('project')
  store.isUp = false
  for (let hour = 0; hour < 48; hour++) {
    time.ms += 3_600_000
    keys.distrustAll()
    expect(await keys.get('project')).toBe(payer)
  }
  await expect(keys.get('other')).rejects.toMatchObject({ code: 'auth_unavailable' })
})

test('a key that does not exist is a fault of ours', async () => {
  const { keys } = openBench()
  await expect(keys.get('missing')).rejects.toMatchObject({ code: 'internal_error' })
})
