import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { type GatewayHome, makeGatewayHome } from '../support/gateway-home.ts'
import { llmgw, startGateway } from '../support/gateway-process.ts'

// Processes take their time on a busy machine; nothing here waits longer than it must.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 })

let database: TestDatabase
let home: GatewayHome
beforeAll(async () => {
  database = await createTestDatabase()
  home = await makeGatewayHome()
})
afterAll(async () => {
  await database.drop()
  await home[Symbol.asyncDispose]()
})

const env = () => ({ LLMGW_CONFIG: home.configPath, DATABASE_URL: database.url })
const budgets = (...words: string[]) => llmgw(home, ['budgets', ...words], { env: env() })
const teamBudget = (amountUsd: number) => ({ organization: 'acme', team: 'search', amountUsd, period: 'month' })

test('budgets of the file are applied by a start and by SIGHUP, listed, and raised for a while', async () => {
  await home.configure({ budgets: [teamBudget(5)] })
  await using gateway = await startGateway({ home, env: env() })
  const listed = await budgets('list')
  expect(listed).toMatchObject({ code: 0, stderr: '' })
  expect(listed.stdout).toMatch(
    /^ID +OWNER +PERIOD .*\n\S+ +team acme\/search +month +\S+ 00:00Z +hard +\$5 +\$0 +\$0 +\$5$/,
  )
  const [before] = JSON.parse((await budgets('list', '--json')).stdout)

  await home.configure({ budgets: [teamBudget(7)], rateLimits: [{ organization: 'acme', requestsPerMinute: 9 }] })
  gateway.signal('SIGHUP')
  await gateway.logged('Configuration reloaded.')
  expect(JSON.parse((await budgets('list', '--json')).stdout)).toEqual([
    { ...before, amountNano: '7000000000', limitNano: '7000000000', leftNano: '7000000000' },
  ])
  const limits = await database.pools.admin.query('select requests_per_minute, managed_by from rate_limits')
  expect(limits.rows).toEqual([{ requests_per_minute: '9', managed_by: 'file' }])

  const raised = await budgets('raise', before.id, '--amount-usd', '0.5', '--until', '2999-01-01')
  expect(raised).toMatchObject({ code: 0, stderr: '' })
  expect(raised.stdout).toMatch(
    /^Raised the budget of team acme\/search by \$0\.5 until 2999-01-01 00:00Z\.\nIts limit is \$7\.5 now/,
  )
  const { rows } = await database.pools.admin.query(`select actor_kind from audit_events where action = 'budget.raise'`)
  expect(rows).toEqual([{ actor_kind: 'operator' }])

  const refused = await budgets('raise', before.id, '--amount-usd', '1', '--until', '2020-01-01')
  expect(refused).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/^The increase would be over/) })
  const mistyped = await budgets('raise', before.id, '--amount-usd', 'much', '--until', '2999-01-01')
  expect(mistyped).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('Expected dollars') })
  await gateway.stop()
})
