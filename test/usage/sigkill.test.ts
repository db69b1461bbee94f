import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { createDatabaseClock } from '../../src/core/clock.ts'
import { createUsageStore } from '../../src/core/usage/usage.store.ts'
import { openUsageSpool } from '../../src/core/usage/usage-spool.ts'
import { createTestDatabase } from '../support/database.ts'
import { silent } from '../support/log.ts'
import { temporaryFolder } from '../support/usage-journal.ts'

const rounds = 5

interface Acknowledged {
  begun: Set<string>
  ended: Set<string>
}

/** Runs the process until it has acknowledged so many records more, and kills it. */
async function killUnderLoad(path: string, url: string, records: number, acknowledged: Acknowledged): Promise<void> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'append-under-load.ts'), path, url], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let seen = 0
  const lines = createInterface({ input: child.stdout })
  lines.on('line', (line) => {
    const [kind, requestId = ''] = line.split(' ')
    if (requestId.length < 36) return // cut by the kill
    const set = kind === 'i' ? acknowledged.begun : acknowledged.ended
    set.add(requestId)
    if (++seen === records) child.kill('SIGKILL')
  })
  const [[, signal]] = await Promise.all([once(child, 'exit'), once(lines, 'close')])
  expect(signal).toBe('SIGKILL')
}

test('killed under load again and again, no call is lost, none is charged twice, and each ended as it was acknowledged', async () => {
  const database = await createTestDatabase()
  using folder = temporaryFolder()
  const acknowledged: Acknowledged = { begun: new Set(), ended: new Set() }
  for (let round = 0; round < rounds; round++) {
    await killUnderLoad(folder.path, database.url, 500 + round * 777, acknowledged)
  }
  const spool = await openUsageSpool({
    path: folder.path,
    owner: '0',
    store: createUsageStore(database.pools.settlement),
    clock: createDatabaseClock(),
    log: silent,
  })
  expect(await spool.close(20_000)).toBe(0)

  const { rows } = await database.pools.admin.query<{
    request_id: string
    state: string
    cost: string
    charged: string
  }>(`
    select records.request_id, records.state, records.provider_cost_nano as cost, ledger.charged
    from usage_records as records
    left join (
      select request_id, sum(amount_nano) as charged from ledger_entries group by request_id
    ) as ledger on ledger.request_id = records.request_id`)
  const states = new Map(rows.map((row) => [row.request_id, row.state]))
  expect(states.size).toBe(rows.length)
  expect(acknowledged.ended.size).toBeGreaterThan(2_000)
  expect([...acknowledged.begun].filter((id) => !states.has(id))).toEqual([])
  expect([...acknowledged.ended].filter((id) => states.get(id) !== 'settled')).toEqual([])
  expect(rows.filter((row) => row.charged !== row.cost)).toEqual([])
  // At most the calls that were open at each kill became estimates.
  const estimated = rows.filter((row) => row.state === 'estimated')
  expect(estimated.length).toBeGreaterThanOrEqual(rounds * 4)
  expect(estimated.length).toBeLessThanOrEqual(rounds * 20)
  await database.drop()
}, 60_000)
