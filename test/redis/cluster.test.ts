import { afterAll, beforeAll, expect, test } from 'vitest'
import type { GuardedRedis } from '../../src/core/redis/guarded-redis.ts'
import { createRedisScript } from '../../src/core/redis/redis-script.redis.ts'
import { eventually } from '../support/eventually.ts'
import { createRecordingLog } from '../support/log.ts'
import { openTestRedis, untilAvailable } from '../support/redis.ts'
import { type RedisCluster, startRedisCluster } from '../support/redis-groups.ts'
import { needsRedisServer } from '../support/redis-server.ts'
import { redisServerBinary } from '../support/redis-server-binary.ts'

needsRedisServer()

let cluster: RedisCluster
beforeAll(async () => {
  if (redisServerBinary() !== undefined) cluster = await startRedisCluster()
})
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]()
})

const addBoth = createRedisScript<[number, number]>({
  name: 'test-add-both',
  numberOfKeys: 2,
  lua: `return { redis.call('incrby', KEYS[1], ARGV[1]), redis.call('incrby', KEYS[2], ARGV[1]) }`,
})

/** Keys that lie on every node. */
const names = Array.from({ length: 60 }, (_, index) => `key-${index}`)

async function writeAll(redis: GuardedRedis): Promise<number> {
  const writes = names.map((name) => redis.run((client) => client.set(name, '1')))
  return (await Promise.allSettled(writes)).filter(({ status }) => status === 'fulfilled').length
}

test('commands and scripts find their nodes', async () => {
  await using redis = await openTestRedis(cluster.url)
  await eventually('all nodes to be connected', async () => (await writeAll(redis)) === names.length)
  const sizes = await Promise.all(cluster.nodes.map(({ client }) => client.dbsize()))
  expect(sizes.every((size) => size > 0)).toBe(true)
  for (const name of names) {
    const keys = [`a:{${name}}`, `b:{${name}}`]
    expect(await redis.run((client) => addBoth(client, ...keys, 2))).toEqual([2, 2])
  }
  expect(redis.available).toBe(true)
  await eventually('the policy of all masters to be known', () => redis.statistics().keepsKeys === true)
})

test('one master that evicts is reported, whichever it is', async () => {
  const log = createRecordingLog()
  await cluster.nodes[1]?.client.config('SET', 'maxmemory-policy', 'volatile-ttl')
  try {
    await using redis = await openTestRedis(cluster.url, { log })
    await eventually('the policy to be seen', () => redis.statistics().keepsKeys === false)
    expect(log.lines.filter(({ level }) => level === 'error')).toMatchObject([
      { fields: { maxmemory_policy: 'volatile-ttl' } },
    ])
  } finally {
    await cluster.nodes[1]?.client.config('SET', 'maxmemory-policy', 'noeviction')
  }
})

test('a frozen node opens the breaker, and it stays open until that node answers', async () => {
  await using redis = await openTestRedis(cluster.url)
  const [, frozen] = cluster.nodes
  frozen?.pause()
  try {
    const startMs = performance.now()
    await eventually('the breaker to open', async () => {
      await writeAll(redis)
      return !redis.available
    })
    expect(performance.now() - startMs).toBeLessThan(3_000)
    // Shorter than the cluster itself takes to miss the node.
    await new Promise((resolve) => setTimeout(resolve, 400))
    expect(redis.available).toBe(false)
  } finally {
    frozen?.resume()
  }
  await untilAvailable(redis)
  await eventually('all nodes to serve', async () => (await writeAll(redis)) === names.length)
})

test('nodes that are killed and started again are found again, and no error ends the process', async () => {
  await using redis = await openTestRedis(cluster.url)
  for (const node of cluster.nodes) await node.kill()
  await eventually('the breaker to open', async () => {
    await writeAll(redis)
    return !redis.available
  })
  // Their cluster configuration lies in their folders.
  for (const node of cluster.nodes) await node.restart()
  await untilAvailable(redis)
  await eventually('all nodes to serve', async () => (await writeAll(redis)) === names.length, 20_000)
})
