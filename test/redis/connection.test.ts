import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { GuardedRedis } from '../../src/core/redis/guarded-redis.ts'
import { createRedisScript } from '../../src/core/redis/redis-script.redis.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { createRecordingLog } from '../support/log.ts'
import { askUntilGivenUp, openTestRedis, untilAvailable } from '../support/redis.ts'
import { needsRedisServer, type RedisServer, startRedisServer } from '../support/redis-server.ts'

needsRedisServer()

let server: RedisServer
beforeEach(async () => {
  server = await startRedisServer()
})
afterEach(async () => {
  server.resume()
  await server.close()
})

const add = createRedisScript<number>({
  name: 'test-add',
  numberOfKeys: 1,
  lua: `return redis.call('incrby', KEYS[1], ARGV[1])`,
})

const timed = createRedisScript<string>({
  name: 'test-time',
  numberOfKeys: 1,
  lua: `redis.call('expire', KEYS[1], 10) return redis.call('time')[1]`,
})

const askOnce = (redis: GuardedRedis): Promise<string | null> => redis.run((client) => client.get('x'))

async function elapsedMs(act: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now()
  await act()
  return performance.now() - startMs
}

/** The slack of a machine that has other things to do. */
const slackMs = 250

test('commands, scripts and pipelines are run', async () => {
  await using redis = await openTestRedis(server.url)
  expect(redis.available).toBe(true)
  expect(redis.prefix).toBe('test:v1:')
  expect(await redis.run((client) => client.set('x', '1'))).toBe('OK')
  expect(await redis.run((client) => add(client, 'n', 40))).toBe(40)
  expect(await redis.run((client) => add(client, 'n', 2))).toBe(42)
  expect(await redis.run((client) => client.pipeline().get('x').get('n').exec())).toEqual([
    [null, '1'],
    [null, '42'],
  ])
  expect(redis.statistics()).toMatchObject({ failures: { timeout: 0, failed: 0 }, refused: 0, opened: 0 })
})

test('a script that the server has forgotten is sent again', async () => {
  await using redis = await openTestRedis(server.url)
  await redis.run((client) => add(client, 'n', 1))
  await server.client.script('FLUSH')
  expect(await redis.run((client) => add(client, 'n', 1))).toBe(2)
  expect(await redis.run((client) => add(client, 'n', 1))).toBe(3)
  expect(redis.statistics().failures).toEqual({ timeout: 0, failed: 0 })
})

test('what a command, a script or a pipeline is refused opens the breaker like any failure', async () => {
  const fail = createRedisScript({ name: 'test-fail', numberOfKeys: 0, lua: `return redis.error_reply('no')` })
  await server.client.set('text', 'x')
  for (const command of [
    (redis: GuardedRedis) => redis.run((client) => client.lpush('text', 'y')),
    (redis: GuardedRedis) => redis.run((client) => fail(client)),
    (redis: GuardedRedis) => redis.run((client) => client.pipeline().get('text').lpush('text', 'y').exec()),
  ]) {
    await using redis = await openTestRedis(server.url, { probeEveryMs: 60_000 })
    // Which is a success among the failures.
    await eventually('the policy to be known', () => redis.statistics().keepsKeys !== undefined)
    for (let count = 1; count <= 5; count++) {
      expect(redis.available).toBe(true)
      await expect(command(redis)).rejects.toMatchObject({ name: 'RedisUnavailable', reason: 'failed' })
    }
    expect(redis.available).toBe(false)
    await expect(askOnce(redis)).rejects.toMatchObject({ reason: 'breaker-open' })
    expect(redis.statistics()).toMatchObject({ failures: { failed: 5 }, refused: 1, opened: 1 })
  }
})

test('frozen: no call waits longer than its time, and none at all once that is known', async () => {
  await using redis = await openTestRedis(server.url)
  server.pause()
  const together = Array.from({ length: 20 }, () => elapsedMs(() => askOnce(redis).catch(() => {})))
  expect(Math.max(...(await Promise.all(together)))).toBeLessThan(100 + slackMs)
  expect(redis.available).toBe(false)
  expect(redis.statistics().failures.timeout).toBeGreaterThanOrEqual(5)
  const thousand = await elapsedMs(async () => {
    for (let count = 0; count < 1_000; count++) await askOnce(redis).catch(() => {})
  })
  expect(thousand / 1_000).toBeLessThan(2)
  server.resume()
  await untilAvailable(redis)
  expect(await askOnce(redis)).toBe(null)
})

test('frozen for so long that connections are given up: it recovers on new ones', async () => {
  const log = createRecordingLog()
  await using redis = await openTestRedis(server.url, { log })
  server.pause()
  await askUntilGivenUp(redis)
  const lost = 'The connection to Redis was lost; connecting again.'
  await eventually('a connection without answers to be given up', () =>
    log.lines.some(({ message }) => message === lost),
  )
  await delay(300) // into the attempts to connect to a server that accepts and says nothing
  expect(redis.available).toBe(false)
  server.resume()
  await untilAvailable(redis)
  expect(await askOnce(redis)).toBe(null)
})

test('killed: what is under way fails at once, and a restarted server is used again', async () => {
  await using redis = await openTestRedis(server.url)
  let recoveries = 0
  const stop = redis.onRecovered(() => recoveries++)
  server.pause()
  const underWay = redis.run((client) => client.set('x', '1'))
  const failed = expect(underWay).rejects.toMatchObject({ reason: expect.stringMatching(/^(failed|timeout)$/) })
  await server.kill()
  await failed
  expect(await askUntilGivenUp(redis)).toBeLessThan(100 + slackMs)
  await server.restart()
  await untilAvailable(redis)
  expect(recoveries).toBe(1)
  expect(await askOnce(redis)).toBe(null)
  expect(await redis.run((client) => add(client, 'n', 1))).toBe(1)
  stop()
  await server.kill()
  await askUntilGivenUp(redis)
  await server.restart()
  await untilAvailable(redis)
  expect(recoveries).toBe(1)
  expect(redis.statistics().opened).toBe(2)
})

test('refused from the start: it opens without it, says so once, and finds it later', async () => {
  const port = await freePort()
  const log = createRecordingLog()
  await using redis = await openTestRedis(`redis://127.0.0.1:${port}`, { log })
  expect(redis.available).toBe(false)
  await expect(askOnce(redis)).rejects.toMatchObject({ reason: 'breaker-open' })
  await delay(500)
  await using late = await startRedisServer({ port })
  await untilAvailable(redis)
  await redis.run((client) => client.set('x', '1'))
  expect(await late.client.get('x')).toBe('1')
  expect(log.lines.filter(({ level }) => level === 'warn').map(({ message }) => message)).toEqual([
    'Redis is away: limits are counted by each replica for itself.',
  ])
})

test('frozen from the start: it opens without it, and finds it later', async () => {
  server.pause()
  const startMs = performance.now()
  await using redis = await openTestRedis(server.url, { firstConnectionMsMax: 200 })
  expect(performance.now() - startMs).toBeLessThan(200 + 10 * slackMs)
  expect(redis.available).toBe(false)
  server.resume()
  await untilAvailable(redis)
  expect(await askOnce(redis)).toBe(null)
})

test('flushed: nothing fails', async () => {
  await using redis = await openTestRedis(server.url)
  await redis.run((client) => add(client, 'n', 5))
  await server.client.flushall()
  expect(await redis.run((client) => add(client, 'n', 5))).toBe(5)
  expect(redis.available).toBe(true)
})

test('a server that lets itself only be read is no server: probes write', async () => {
  await using master = await startRedisServer()
  await using redis = await openTestRedis(server.url)
  await server.client.replicaof('127.0.0.1', master.port)
  await eventually('the breaker to open', async () => {
    await redis.run((client) => client.set('x', '1')).catch(() => {})
    return !redis.available
  })
  await delay(400)
  expect(redis.available).toBe(false)
  await server.client.replicaof('NO', 'ONE')
  await untilAvailable(redis)
  expect(await redis.run((client) => client.set('x', '1'))).toBe('OK')
})

test('an eviction policy that loses counters is an error for the operator, at each connection', async () => {
  const log = createRecordingLog()
  const errors = () => log.lines.filter(({ level }) => level === 'error')
  await using redis = await openTestRedis(server.url, { log })
  await eventually('the policy to be known', () => redis.statistics().keepsKeys === true)
  await server.client.config('SET', 'maxmemory-policy', 'allkeys-lru')
  await server.client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  await eventually('the policy to be seen', () => redis.statistics().keepsKeys === false)
  expect(errors()).toEqual([
    {
      level: 'error',
      fields: { maxmemory_policy: 'allkeys-lru' },
      message: expect.stringContaining('set "noeviction"'),
    },
  ])
  await server.client.config('SET', 'maxmemory-policy', 'noeviction')
  await server.client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  await eventually('the policy to be right', () => redis.statistics().keepsKeys === true)
})

test('a wrong password is a Redis that is away, and stands in no line of the log', async () => {
  await using locked = await startRedisServer({ password: 'the-right-one', args: ['--requirepass', 'the-right-one'] })
  const log = createRecordingLog()
  const wrong = locked.url.replace('the-right-one', 'the-wrong-one')
  await using refused = await openTestRedis(wrong, { log, firstConnectionMsMax: 300 })
  expect(refused.available).toBe(false)
  await delay(200)
  expect(log.lines.length).toBeGreaterThan(0)
  const warning = log.lines.find(({ message }) => message.startsWith('Redis is away'))
  expect(warning?.fields).toMatchObject({ connection: expect.stringContaining('WRONGPASS') })
  expect(JSON.stringify(log.lines)).not.toContain('the-wrong-one')
  await using admitted = await openTestRedis(locked.url)
  expect(await askOnce(admitted)).toBe(null)
})

test('the role that docs/operations.md describes is enough, and may do nothing else', async () => {
  const documented = await readFile(join(import.meta.dirname, '../../docs/operations.md'), 'utf8')
  const [, patterns = '', commands = ''] = /needs `(~\S+ &\S+)`,\s+`([^`]+)`/.exec(documented) ?? []
  const rights = [...patterns.split(' '), ...commands.split(/\s+/)]
  expect(rights.length).toBeGreaterThan(5)
  await server.client.call('ACL', 'SETUSER', 'gateway', 'on', '>secret', ...rights)
  await using redis = await openTestRedis(server.url.replace('//', '//gateway:secret@'), { prefix: 'llmgw' })
  expect(redis.available).toBe(true)
  const key = `${redis.prefix}n`
  expect(await redis.run((client) => add(client, key, 1))).toBe(1)
  expect(await redis.run((client) => timed(client, key))).toMatch(/^\d{10}$/)
  expect(await redis.run((client) => client.publish(`${redis.prefix}events`, 'x'))).toBe(0)
  await eventually('the policy to be known', () => redis.statistics().keepsKeys === true)
  await expect(redis.run((client) => client.get('another'))).rejects.toMatchObject({ reason: 'failed' })
  await expect(redis.run((client) => client.flushall())).rejects.toMatchObject({ reason: 'failed' })
})

test('after it is closed it answers at once and leaves nothing behind', async () => {
  const redis = await openTestRedis(server.url)
  server.pause()
  const underWay = expect(askOnce(redis)).rejects.toMatchObject({ name: 'RedisUnavailable' })
  await redis[Symbol.asyncDispose]()
  await underWay
  await expect(askOnce(redis)).rejects.toMatchObject({ name: 'RedisUnavailable' })
  server.resume()
  await eventually('the connection to be gone', async () => {
    return !String(await server.client.call('CLIENT', 'LIST')).includes('llmgw-commands')
  })
})
