import { afterAll, beforeAll, expect, test } from 'vitest'
import { createDatabaseClock, type DatabaseClock } from '../../src/core/clock.ts'
import { startDatabaseClockSync, synchronizeClock } from '../../src/core/db/database-clock-sync.ts'
import { openPools } from '../../src/core/db/pools.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { createRecordingLog, silent } from '../support/log.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase({ empty: true })
})
afterAll(() => database.drop())

/** A replica whose own clock is a day behind. */
function createLateClock(): DatabaseClock {
  const clock = createDatabaseClock()
  clock.synchronize(Date.now() - 86_400_000, 0)
  return clock
}

test('one reading makes the clock that of the database', async () => {
  const clock = createLateClock()
  await synchronizeClock(database.pools.request, clock)
  const { rows } = await database.pools.request.query('select clock_timestamp() as now')
  expect(Math.abs(clock.nowMs() - rows[0].now.getTime())).toBeLessThan(250)
})

test('readings repeat until it is closed', async () => {
  const readings: number[] = []
  const clock: DatabaseClock = {
    ...createLateClock(),
    synchronize: (databaseNowMs) => void readings.push(databaseNowMs),
  }
  const sync = startDatabaseClockSync({ pool: database.pools.request, clock, log: silent, everyMs: 5 })
  await sync.first
  expect(readings).toHaveLength(1)
  await expect.poll(() => readings.length).toBeGreaterThan(2)
  await sync.close()
  const readingsAtClose = readings.length
  await database.pools.request.query('select pg_sleep(0.05)')
  expect(readings).toHaveLength(readingsAtClose)
})

test('a database that is not there leaves the last reading in force', async () => {
  const pools = openPools({ url: 'postgresql://nobody@127.0.0.1:1/none', log: silent })
  const clock = createLateClock()
  const beforeMs = clock.nowMs()
  const log = createRecordingLog()
  const sync = startDatabaseClockSync({ pool: pools.request, clock, log })
  await sync.first
  expect(clock.nowMs() - beforeMs).toBeLessThan(5_000)
  expect(log.lines.map(({ level }) => level)).toEqual(['warn'])
  await sync.close()
  await pools.close()
})
