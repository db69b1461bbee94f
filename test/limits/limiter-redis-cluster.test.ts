import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createRedisLimiter } from '../../src/core/limits/limiter.redis.ts'
import { openRedis } from '../../src/core/redis/open-redis.redis.ts'
import { parseRedisUrl } from '../../src/core/redis/redis-url.ts'
import { granted, limitOf, refused } from '../contracts/limiter.ts'
import { eventually } from '../support/eventually.ts'
import { silent } from '../support/log.ts'
import { type RedisServer, startRedisServer } from '../support/redis-server.ts'
import { redisServerBinary } from '../support/redis-server-binary.ts'

if (redisServerBinary() === undefined) test('limits in a Redis cluster', ({ skip }) => skip('no redis-server found'))

/** One node with all slots: it refuses a call with keys of two slots as every cluster does. */
describe.skipIf(redisServerBinary() === undefined)('limits in a Redis cluster', () => {
  let server: RedisServer

  beforeAll(async () => {
    server = await startRedisServer({ args: ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'] })
    await server.client.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    await eventually('the cluster to be whole', async () => {
      return String(await server.client.call('CLUSTER', 'INFO')).includes('cluster_state:ok')
    })
  })
  afterAll(() => server?.close())

  test('every call has the keys of one organization, and those share a slot', async () => {
    const target = parseRedisUrl(server.url.replace('redis://', 'redis+cluster://'))
    if ('problem' in target) throw new Error(target.problem)
    const redis = await openRedis({ target, prefix: 'llmgw', log: silent, timeoutMs: 5_000 })
    await eventually('Redis to be used', () => redis.available)
    const limiter = createRedisLimiter({
      redis,
      clock: { monotonicMs: () => performance.now() },
      expectedReplicas: () => 1,
      leaseCheckMs: 10,
    })
    const organizations = ['acme', 'globex', 'initech'].map((organizationId) => ({
      organizationId,
      limits: [
        limitOf({ requestsPerMinute: 10, tokensPerMinute: 1_000, maxConcurrent: 2 }),
        limitOf({ scope: 'team', requestsPerMinute: 10, algorithm: 'token_bucket' }),
        limitOf({ scope: 'organization', scopeId: organizationId, maxConcurrent: 10 }),
      ],
    }))
    const holds = await Promise.all(
      organizations.flatMap((asking) => [granted(limiter, asking), granted(limiter, asking)]),
    )
    for (const asking of organizations)
      expect(await refused(limiter, asking)).toMatchObject({ state: { degraded: false } })
    for (const asking of organizations) {
      await eventually('the leases to be registered', () =>
        server.client.exists(`llmgw:v1:limit:{${asking.organizationId}}:registered`).then((count) => count === 1),
      )
    }
    for (const hold of holds) hold.settle(10) // all at once, of several organizations
    for (const asking of organizations) {
      expect(await limiter.current(asking.organizationId, asking.limits)).toMatchObject([
        { requests: 2, tokens: 20, running: 0, degraded: false },
        { requests: 2 },
        { running: 0 },
      ])
      await limiter.reset(asking.organizationId, asking.limits)
      expect(await limiter.current(asking.organizationId, asking.limits)).toMatchObject([
        { requests: 0, tokens: 0 },
        {},
        {},
      ])
    }
    const keys = await server.client.keys('*limit*')
    expect(keys.length).toBeGreaterThan(0)
    for (const key of keys) {
      const tag = /\{(.*?)\}/.exec(key)?.[1] as string
      expect(await server.client.cluster('KEYSLOT', key)).toBe(await server.client.cluster('KEYSLOT', tag))
    }
    await limiter.close()
    await redis.close()
  })
})
