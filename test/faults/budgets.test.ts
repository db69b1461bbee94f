import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { committedNano, expectExactAccounts, recordsOf } from './kit/accounts.ts'
import { callOnce, type Outcome, tally } from './kit/caller.ts'
import { longestIdleBeforeRefusal } from './kit/idle-money.ts'
import { isLong, shortOrLong } from './kit/length.ts'
import { createRandom, type Random } from './kit/random.ts'
import type { Replica } from './kit/replica.ts'
import type { Tenant, TenantScope } from './kit/tenants.ts'
import { outputNanoPerToken } from './kit/world.ts'
import { worldOfFile } from './kit/world-of-file.ts'

vi.setConfig({ testTimeout: shortOrLong(90_000, 900_000), hookTimeout: 120_000 })

const accountsMsMax = 20_000

const world = worldOfFile()

const replicaOf = (call: number): Replica => world().replicas[call % world().replicas.length] as Replica

/** How many calls the provider has seen that it had not seen before. */
async function callsSeen(before: ReadonlySet<string>): Promise<number> {
  return (await world().provider.calls()).filter(({ requestId }) => !before.has(requestId)).length
}

const idsSeen = async (): Promise<ReadonlySet<string>> =>
  new Set((await world().provider.calls()).map(({ requestId }) => requestId))

describe('a hard limit of five worst cases, and 200 calls at once over three replicas', () => {
  const calls = 200
  const maxTokens = 50
  const worstCaseNano = BigInt(maxTokens) * outputNanoPerToken

  test('of which each costs its worst case: five succeed, 195 are refused, the provider saw five', async () => {
    const budgets = [{ scope: 'key' as const, amountNano: 5n * worstCaseNano }]
    const tenant = await world().tenants.create({ budgets })
    await world().introduce(tenant)
    const before = await idsSeen()
    const script = { afterMs: 50, chunks: 3, outputTokens: maxTokens }
    const outcomes = await Promise.all(
      Array.from({ length: calls }, (_, call) =>
        callOnce(replicaOf(call), tenant, script, { maxTokens, stream: call % 2 === 0 }),
      ),
    )
    expect(tally(outcomes)).toEqual({ 200: 5, '429 budget_exceeded': 195 })
    expect(await callsSeen(before)).toBe(5)
    await expectExactAccounts(world(), accountsMsMax)
    expect(await committedNano(world().postgres.pool, tenant)).toEqual([5n * worstCaseNano])
    expectRefusedForGood(outcomes)
  })

  test('of which each costs less in the end: five succeed, and what they left over can be spent', async () => {
    const budgets = [{ scope: 'key' as const, amountNano: 5n * worstCaseNano }]
    const tenant = await world().tenants.create({ budgets })
    await world().introduce(tenant)
    const before = await idsSeen()
    const gate = tenant.keyId
    const script = { gate, chunks: 3, outputTokens: 7 }
    const calling = Array.from({ length: calls }, (_, call) =>
      callOnce(replicaOf(call), tenant, script, { maxTokens, stream: call % 2 === 0 }),
    )
    const answered: Outcome[] = []
    for (const call of calling) void call.then((outcome) => answered.push(outcome))
    // Five wait at the gate, and all the others have been told meanwhile.
    await eventually('195 refusals', () => answered.length >= calls - 5, 30_000)
    expect(await callsSeen(before)).toBe(5)
    await world().provider.releaseGate(gate)
    expect(tally(await Promise.all(calling))).toEqual({ 200: 5, '429 budget_exceeded': 195 })
    await expectExactAccounts(world(), accountsMsMax)
    const spent = 5n * 7n * outputNanoPerToken
    expect(await committedNano(world().postgres.pool, tenant)).toEqual([spent])

    // 215 of 250 tokens are left, which is four worst cases one after the other: wherever they are asked for.
    for (let call = 0; call < 4; call++) {
      expect(await callOnce(replicaOf(call), tenant, { outputTokens: maxTokens }, { maxTokens })).toMatchObject({
        status: 200,
      })
    }
    expect(await callOnce(replicaOf(0), tenant, {}, { maxTokens })).toMatchObject({ status: 429 })
    await expectExactAccounts(world(), accountsMsMax)
    expect(await committedNano(world().postgres.pool, tenant)).toEqual([spent + 4n * worstCaseNano])
  })
})

test('a provider that reports more than the worst case: the excess is committed and named, and the next call refused', async () => {
  const maxTokens = 10
  const budgets = [{ scope: 'team' as const, amountNano: 2n * 10n * outputNanoPerToken }]
  const tenant = await world().tenants.create({ budgets })
  expect(await callOnce(replicaOf(0), tenant, { outputTokens: 25 }, { maxTokens })).toMatchObject({ status: 200 })
  await expectExactAccounts(world(), accountsMsMax)
  expect(await committedNano(world().postgres.pool, tenant)).toEqual([25n * outputNanoPerToken])
  const next = await Promise.all(world().replicas.map((replica) => callOnce(replica, tenant, {}, { maxTokens: 1 })))
  expect(tally(next)).toEqual({ '429 budget_exceeded': world().replicas.length })
  const { rows } = await world().postgres.pool.query(
    'select r.reserved_nano, r.overrun_nano from usage_records r where r.key_id = $1',
    [tenant.keyId],
  )
  expect(rows).toEqual([
    { reserved_nano: String(10n * outputNanoPerToken), overrun_nano: String(15n * outputNanoPerToken) },
  ])
})

function expectRefusedForGood(outcomes: readonly Outcome[]): void {
  for (const { status, headers } of outcomes) {
    if (status === 429) expect(headers.get('x-should-retry')).toBe('false')
  }
}

describe('budgets of keys, their team and their organization that overlap', () => {
  const seeds = isLong ? Array.from({ length: 50 }, (_, index) => index + 1) : [1, 2, 3]

  test.for(seeds)('seed %i: never overspent, and nobody is refused while money lies idle', async (seed) => {
    const random = createRandom(seed)
    const { tenants, limits } = await makeOverlap(random)
    for (const tenant of tenants) await world().introduce(tenant)
    world().watch.reset()
    const clients = random.whole(6, 16)
    const startedMs = performance.now()
    const spending: SpendingCall[] = []
    /** For a while, and until enough has been refused to tell. */
    const isOver = (): boolean => {
      const ranMs = performance.now() - startedMs
      const refused = spending.filter(({ outcome }) => outcome.status === 429).length
      return ranMs > shortOrLong(3_000, 6_000) && (refused >= refusedMin || ranMs > 30_000)
    }
    await Promise.all(
      Array.from({ length: clients }, async () => {
        while (!isOver()) {
          const tenant = random.oneOf(tenants)
          spending.push(await spend(random, tenant, replicaOf(random.whole(0, 2))))
          await delay(random.whole(0, 60))
        }
      }),
    )
    await expectExactAccounts(world(), accountsMsMax)
    const kinds = tally(spending.map(({ outcome }) => outcome))
    expect(Object.keys(kinds).sort()).toEqual(['200', '429 budget_exceeded'])

    const idle = longestIdleBeforeRefusal(
      [...limits].map(([scopeId, limitNano]) => ({
        limitNano,
        calls: spending
          .filter(({ tenant }) => scopeIdsOf(tenant).includes(scopeId))
          .map(({ outcome, worstNano, costNano }) => ({
            startMs: outcome.sentMs,
            endMs: outcome.endedMs,
            worstNano,
            costNano,
          })),
        scopeId,
      })),
      spending
        .filter(({ outcome }) => outcome.status === 429)
        .map(({ outcome, worstNano, tenant }) => ({
          refusedMs: outcome.endedMs,
          worstNano,
          scopeIds: scopeIdsOf(tenant),
        })),
    )
    console.info(
      `seed ${seed}: ${JSON.stringify(kinds)}, idle before a refusal at most ${Math.round(idle.longestMs)} ms, ` +
        `longest gap between looks ${Math.round(world().watch.longestGapMs)} ms`,
    )
    // The machine's own pauses count against it, and a refusal takes its time to arrive.
    expect(idle.longestMs).toBeLessThan(300 + idleAllowanceMs + world().watch.longestGapMs)
    await expectCommittedAsSeen(tenants)
  })

  const refusedMin = 20

  /** For a machine that does other things, too; the promise is 300 ms. */
  const idleAllowanceMs = 200

  interface SpendingCall {
    tenant: Tenant
    outcome: Outcome
    worstNano: bigint
    costNano: bigint
  }

  async function spend(random: Random, tenant: Tenant, replica: Replica): Promise<SpendingCall> {
    const maxTokens = random.whole(1, 100)
    // Mostly far from the worst case, so that much of what is held comes back.
    const outputTokens = random.whole(0, 3) === 0 ? maxTokens : random.whole(1, Math.ceil(maxTokens / 4))
    const stream = random.whole(0, 1) === 0
    const script = { afterMs: random.whole(0, 400), chunks: random.whole(1, 4), everyMs: 10, outputTokens }
    const outcome = await callOnce(replica, tenant, script, { maxTokens, stream })
    return {
      tenant,
      outcome,
      worstNano: BigInt(maxTokens) * outputNanoPerToken,
      costNano: outcome.status === 200 ? BigInt(outputTokens) * outputNanoPerToken : 0n,
    }
  }

  /** Two teams of an organization with two keys each, of which every one may have a limit of its own. */
  async function makeOverlap(random: Random): Promise<{ tenants: readonly Tenant[]; limits: Map<string, bigint> }> {
    const limits = new Map<string, bigint>()
    const budget = (scope: TenantScope, tokensMin: number, tokensMax: number) => ({
      scope,
      amountNano: BigInt(random.whole(tokensMin, tokensMax)) * outputNanoPerToken,
      period: random.oneOf(['total', 'month', 'day']),
    })
    const first = [budget('key', 150, 500), budget('team', 200, 700), budget('organization', 300, 900)]
    const tenants = [await world().tenants.create({ budgets: first })]
    const [root] = tenants as [Tenant]
    limits.set(root.keyId, first[0]?.amountNano ?? 0n)
    limits.set(root.teamId, first[1]?.amountNano ?? 0n)
    limits.set(root.organizationId, first[2]?.amountNano ?? 0n)
    for (let more = random.whole(1, 3); more > 0; more--) {
      const own = random.whole(0, 1) === 0 ? [] : [budget('key', 100, 500)]
      const tenant = await world().tenants.create({ budgets: own, beside: root })
      tenants.push(tenant)
      if (own[0]) limits.set(tenant.keyId, own[0].amountNano)
    }
    return { tenants, limits }
  }

  const scopeIdsOf = ({ keyId, teamId, organizationId }: Tenant): string[] => [keyId, teamId, organizationId]

  /** Each key's records add up to what its own budget has committed. */
  async function expectCommittedAsSeen(tenants: readonly Tenant[]): Promise<void> {
    for (const [index, tenant] of tenants.entries()) {
      if (tenant.budgetIds.length === 0) continue
      const records = [...(await recordsOf(world().postgres.pool, tenant)).values()]
      const spent = records.reduce((sum, record) => sum + BigInt(record.provider_cost_nano), 0n)
      const committed = await committedNano(world().postgres.pool, tenant)
      expect(committed[0], `tenant ${index}`).toBe(spent)
    }
  }
})
