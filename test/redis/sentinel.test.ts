import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { openTestRedis, untilAvailable } from '../support/redis.ts'
import { type RedisSentinels, startRedisSentinels } from '../support/redis-groups.ts'
import { needsRedisServer } from '../support/redis-server.ts'
import { redisServerBinary } from '../support/redis-server-binary.ts'

needsRedisServer()

let group: RedisSentinels
beforeAll(async () => {
  if (redisServerBinary() !== undefined) group = await startRedisSentinels()
})
afterAll(async () => {
  group?.master.resume()
  await group?.[Symbol.asyncDispose]()
})

test('the master that Sentinels name is used, although one of them is gone', async () => {
  await group.sentinels[0]?.kill()
  await using redis = await openTestRedis(group.url)
  expect(redis.available).toBe(true)
  await redis.run((client) => client.set('x', 'before'))
  expect(await group.master.client.get('x')).toBe('before')
  await group.sentinels[0]?.restart()
})

test('a master that freezes is left for the one that takes its place', async () => {
  await using redis = await openTestRedis(group.url)
  await redis.run((client) => client.set('x', 'before'))
  group.master.pause()
  await eventually('the breaker to open', async () => {
    await redis.run((client) => client.set('x', 'during')).catch(() => {})
    return !redis.available
  })
  await untilAvailable(redis)
  await redis.run((client) => client.set('x', 'after'))
  expect(await group.replica.client.get('x')).toBe('after')
  // It comes back, and believes for some seconds more that it is the master.
  group.master.resume()
  await redis.run((client) => client.set('x', 'at last'))
  expect(await group.replica.client.get('x')).toBe('at last')
})

test('without any Sentinel it opens without Redis, and goes on looking', async () => {
  for (const sentinel of group.sentinels) await sentinel.kill()
  await using redis = await openTestRedis(group.url, { firstConnectionMsMax: 300 })
  expect(redis.available).toBe(false)
  for (const sentinel of group.sentinels) await sentinel.restart()
  await untilAvailable(redis)
  expect(await redis.run((client) => client.ping())).toBe('PONG')
})
