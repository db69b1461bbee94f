/**
 * What a decision of the limiter costs, with three scopes that limit requests, tokens and concurrency.
 *
 *     node bench/limiter.ts                                       in memory
 *     REDIS_URL=redis://127.0.0.1:6379 node bench/limiter.ts      and through that Redis; it leaves nothing for long
 *
 * BENCH_DECISIONS (200000) is how many are made in memory; through Redis it is a tenth of that.
 */
import { createUuidV7Source } from '../src/core/ids.ts'
import { createMemoryLimiter } from '../src/core/limits/limiter.memory.ts'
import { createRedisLimiter } from '../src/core/limits/limiter.redis.ts'
import type { LimitDecision, Limiter } from '../src/core/limits/limiter.ts'
import type { LimitAlgorithm, RateLimit } from '../src/core/limits/rate-limit.ts'
import type { Log } from '../src/core/log.ts'
import { openRedis } from '../src/core/redis/open-redis.redis.ts'
import { parseRedisUrl } from '../src/core/redis/redis-url.ts'

const decisions = Number(process.env.BENCH_DECISIONS ?? 200_000)
const callers = 100
const newId = createUuidV7Source()
const clock = { monotonicMs: () => performance.now() }
const print = (line: string) => process.stdout.write(`${line}\n`)
const complain = (fields: object, message: string) => print(`${message} ${JSON.stringify(fields)}`)
const log: Log = { debug: () => {}, info: () => {}, warn: complain, error: complain }

for (const algorithm of ['sliding_window', 'token_bucket'] as const) {
  const limiter = createMemoryLimiter({ clock })
  await bench(`memory, ${algorithm}`, limiter, organizationsOf(algorithm, 1e9), 1, decisions)
  await bench(`memory, ${algorithm}, refused`, limiter, organizationsOf(algorithm, 1), 1, decisions)
}
const url = process.env.REDIS_URL
if (url) await benchRedis(url)

async function benchRedis(url: string): Promise<void> {
  const target = parseRedisUrl(url)
  if ('problem' in target) throw new Error(`REDIS_URL: ${target.problem}`)
  const redis = await openRedis({ target, prefix: 'llmgw-bench', log, timeoutMs: 10_000 })
  const limiter = createRedisLimiter({ redis, clock, expectedReplicas: () => 1 })
  for (const algorithm of ['sliding_window', 'token_bucket'] as const) {
    const organizations = organizationsOf(algorithm, 1e9)
    for (const atOnce of [1, 8, 64]) {
      const name = `redis, ${algorithm}, ${atOnce} at once`
      await bench(name, limiter, organizations, atOnce, decisions / 10, () => serverCpuUs(redis))
    }
    for (const atOnce of [8, 64]) {
      const name = `redis, ${algorithm}, ${atOnce} at once, one organization`
      await bench(name, limiter, organizations.slice(0, 10), atOnce, decisions / 10, () => serverCpuUs(redis))
    }
    const spent = organizationsOf(algorithm, 1)
    await bench(`redis, ${algorithm}, refused`, limiter, spent, 8, decisions / 10, () => serverCpuUs(redis))
  }
  await limiter.close()
  await redis.close()
}

/** Ten organizations with ten callers each, of five teams. */
function organizationsOf(algorithm: LimitAlgorithm, requestsPerMinute: number) {
  const limit = { requestsPerMinute, tokensPerMinute: 1e12, maxConcurrent: 1_000_000, algorithm, strict: false }
  return Array.from({ length: callers / 10 }, () => {
    const organizationId = newId(Date.now())
    const teams = Array.from({ length: 5 }, () => newId(Date.now()))
    return Array.from({ length: 10 }, (_, index) => ({
      organizationId,
      limits: [
        { ...limit, scope: 'key', scopeId: newId(Date.now()) },
        { ...limit, scope: 'team', scopeId: teams[index % 5] as string },
        { ...limit, scope: 'organization', scopeId: organizationId },
      ] satisfies RateLimit[],
    }))
  }).flat()
}

/** Each decision and, if it was granted, its settlement. */
async function bench(
  name: string,
  limiter: Limiter,
  callers: ReturnType<typeof organizationsOf>,
  atOnce: number,
  count: number,
  serverUs: () => Promise<number> = async () => 0,
): Promise<void> {
  let next = 0
  let refused = 0
  const one = async (end: number): Promise<void> => {
    while (next < end) {
      const caller = callers[next++ % callers.length] as (typeof callers)[0]
      const asked = limiter.acquire({ requestId: newId(next), tokens: 1_000, ...caller })
      const decision: LimitDecision = asked instanceof Promise ? await asked : asked
      if (decision.granted) decision.hold.settle(700)
      else refused++
    }
  }
  const run = (end: number) => Promise.all(Array.from({ length: atOnce }, () => one(end)))
  await run(count / 10) // warmed up
  refused = 0
  const serverBefore = await serverUs()
  const before = process.threadCpuUsage()
  const startMs = performance.now()
  await run(next + count)
  const seconds = (performance.now() - startMs) / 1_000
  const { user, system } = process.threadCpuUsage(before)
  const server = ((await serverUs()) - serverBefore) / count
  const share = refused === 0 ? '' : `, ${Math.round((100 * refused) / count)} % refused`
  const beside = server === 0 ? '' : `, ${server.toFixed(1)} us in Redis`
  print(
    `${name}: ${(count / seconds).toFixed(0)} decisions/s, ${((user + system) / count).toFixed(2)} us CPU here${beside}${share}`,
  )
}

/** Of the server's process since it began. */
async function serverCpuUs(redis: Awaited<ReturnType<typeof openRedis>>): Promise<number> {
  const info = await redis.run((client) => client.info('cpu'))
  const used = ['used_cpu_sys', 'used_cpu_user'].map((name) => new RegExp(`${name}:([0-9.]+)`).exec(info)?.[1])
  return 1e6 * used.reduce((sum, seconds) => sum + Number(seconds), 0)
}
