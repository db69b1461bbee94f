import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { announceEvents } from '../../src/core/events/announce-events.redis.ts'
import { createMemoryEventBus } from '../../src/core/events/event-bus.memory.ts'
import { openRedisEventBus } from '../../src/core/events/event-bus.redis.ts'
import type { EventBus, EventOrigin, GatewayEvent } from '../../src/core/events/event-bus.ts'
import { readRedisUrl } from '../../src/core/redis/redis-url.ts'
import { eventually } from '../support/eventually.ts'
import { createRecordingLog, silent } from '../support/log.ts'
import { openTestRedis } from '../support/redis.ts'
import { startRedisCluster, startRedisSentinels } from '../support/redis-groups.ts'
import { needsRedisServer, type RedisServer, startRedisServer } from '../support/redis-server.ts'
import { redisServerBinary } from '../support/redis-server-binary.ts'

let server: RedisServer | undefined
let opened = new AsyncDisposableStack()
beforeEach(async () => {
  opened = new AsyncDisposableStack()
  if (redisServerBinary() !== undefined) server = opened.use(await startRedisServer())
})
afterEach(async () => {
  server?.resume()
  await opened.disposeAsync()
})

interface Heard {
  event: GatewayEvent
  origin: EventOrigin
}

interface Party {
  bus: EventBus
  heard: Heard[]
  gaps(): number
}

function listen(bus: EventBus): Party {
  const heard: Heard[] = []
  let gaps = 0
  bus.subscribe((event, origin) => heard.push({ event, origin }))
  bus.onGap(() => gaps++)
  return { bus, heard, gaps: () => gaps }
}

const openMemory = async (replica: string, log = silent): Promise<EventBus> => {
  const bus = createMemoryEventBus({ replica, log })
  opened.defer(() => bus.close())
  return bus
}

/** With times short enough for a test: a sign of life each 50 ms, a gap after one and a half seconds. */
const openOverRedis = async (
  replica: string,
  log = silent,
  url = server?.url ?? '',
  options: { heartbeatMs?: number; gapMs?: number; firstSubscriptionMsMax?: number } = {},
): Promise<EventBus> => {
  const redis = opened.use(await openTestRedis(url, { log }))
  const target = readRedisUrl(url)
  const bus = await openRedisEventBus({ redis, target, replica, log, heartbeatMs: 50, gapMs: 1_500, ...options })
  opened.defer(() => bus.close())
  return bus
}

const keyChanged = (keyId: string): GatewayEvent => ({ type: 'key-changed', keyId })

describe.each([
  ['memory', openMemory],
  ['Redis', openOverRedis],
] as const)('%s', (name, open) => {
  if (name === 'Redis') needsRedisServer()

  test('who publishes hears it at once, once, and in order', async () => {
    const { bus, heard } = listen(await open('a'))
    const events: GatewayEvent[] = [
      keyChanged('1'),
      { type: 'key-policy-changed' },
      { type: 'budget-recall', periodId: 'p' },
      keyChanged('1'),
    ]
    for (const event of events) bus.publish(event)
    const expected = events.map((event) => ({ event, origin: { replica: 'a', local: true } }))
    expect(heard).toEqual(expected)
    await delay(100)
    expect(heard).toEqual(expected)
  })

  test('a listener that throws keeps nothing from the others, nor from the publisher', async () => {
    const log = createRecordingLog()
    const bus = await open('a', log)
    bus.subscribe(() => {
      throw new Error('broken')
    })
    const { heard } = listen(bus)
    bus.publish(keyChanged('1'))
    expect(heard).toHaveLength(1)
    expect(log.lines.filter(({ level }) => level === 'error')).toMatchObject([
      { message: 'A listener for events failed.' },
    ])
  })

  test('who has ended a subscription hears nothing more, also when it listens twice', async () => {
    const bus = await open('a')
    const heard: GatewayEvent[] = []
    const listener = (event: GatewayEvent): void => void heard.push(event)
    const endFirst = bus.subscribe(listener)
    const endSecond = bus.subscribe(listener)
    bus.publish(keyChanged('1'))
    expect(heard).toHaveLength(2)
    endFirst()
    endFirst()
    bus.publish(keyChanged('2'))
    expect(heard).toHaveLength(3)
    endSecond()
    bus.publish(keyChanged('3'))
    expect(heard).toHaveLength(3)
  })

  test('a listener may publish and unsubscribe while it is told', async () => {
    const bus = await open('a')
    const heard: string[] = []
    const end = bus.subscribe((event) => {
      heard.push(event.type)
      end()
      bus.publish({ type: 'key-policy-changed' })
    })
    bus.subscribe((event) => heard.push(event.type))
    bus.publish(keyChanged('1'))
    expect(heard.toSorted()).toEqual(['key-changed', 'key-changed', 'key-policy-changed'])
  })

  test('it is healthy, and there is no gap where nothing was lost', async () => {
    const { bus, gaps } = listen(await open('a'))
    await delay(100)
    const health = bus.health()
    expect(health).toMatchObject({ connected: true, gaps: 0, malformed: 0, unsent: 0 })
    expect(health.lastHeardMs).toBeLessThan(500)
    expect(gaps()).toBe(0)
  })

  test('once closed it says nothing and throws nothing', async () => {
    const { bus, heard } = listen(await open('a'))
    await bus.close()
    await bus.close()
    bus.publish(keyChanged('1'))
    expect(heard).toEqual([])
  })
})

describe('over Redis', () => {
  needsRedisServer()

  test('the others hear it, too, once, and know from whom', async () => {
    const [a, b, c] = [
      listen(await openOverRedis('a')),
      listen(await openOverRedis('b')),
      listen(await openOverRedis('a')),
    ]
    const alert: GatewayEvent = {
      type: 'budget-alert',
      budgetId: 'b',
      periodId: 'p',
      thresholdPercent: 80,
      committedNano: '80',
      limitNano: '100',
    }
    a.bus.publish(keyChanged('1'))
    a.bus.publish(alert)
    const expected = [keyChanged('1'), alert].map((event) => ({ event, origin: { replica: 'a', local: false } }))
    await eventually('the others to hear', () => b.heard.length === 2 && c.heard.length === 2)
    await delay(100)
    expect(b.heard).toEqual(expected)
    // Of the same name, but another process.
    expect(c.heard).toEqual(expected)
    expect(a.heard).toHaveLength(2)
  })

  test('other prefixes are other gateways', async () => {
    const a = listen(await openOverRedis('a'))
    const redis = opened.use(await openTestRedis(server?.url ?? '', { prefix: 'other' }))
    const target = readRedisUrl(server?.url ?? '')
    const other = await openRedisEventBus({ redis, target, replica: 'o', log: silent, heartbeatMs: 50 })
    opened.defer(() => other.close())
    other.publish(keyChanged('1'))
    await delay(150)
    expect(a.heard).toEqual([])
  })

  test('a command tells the gateways that run, and knows when it cannot', async () => {
    const a = listen(await openOverRedis('a'))
    const options = { target: readRedisUrl(server?.url ?? ''), prefix: 'test', replica: 'command' }
    expect(await announceEvents([keyChanged('1'), keyChanged('2')], options)).toBe(true)
    await eventually('it to arrive', () => a.heard.length === 2)
    expect(a.heard[0]).toEqual({ event: keyChanged('1'), origin: { replica: 'command', local: false } })
    await server?.kill()
    expect(await announceEvents([keyChanged('3')], options)).toBe(false)
  })

  test('what is none of ours is ignored and counted; what a newer release says is ignored', async () => {
    const a = listen(await openOverRedis('a'))
    const say = (text: string) => server?.client.publish('test:v1:events', text)
    await say('not json')
    await say('{"v":1,"replica":"x","instance":"y","event":{"type":"key-changed"}}')
    await say('{"v":1,"replica":"x","instance":"y","event":{"type":"tea-is-ready"}}')
    await say('{"v":9,"replica":"x","instance":"y","event":{"type":"key-changed","keyId":"1"}}')
    await say('{"v":1,"replica":"x","instance":"y","event":{"type":"key-changed","keyId":"2"}}')
    await eventually('the last one', () => a.heard.length > 0)
    expect(a.heard.map(({ event }) => event)).toEqual([keyChanged('2')])
    expect(a.bus.health().malformed).toBe(2)
  })

  test('a connection that breaks is a gap once events arrive again', async () => {
    const [a, b] = [listen(await openOverRedis('a')), listen(await openOverRedis('b'))]
    await server?.client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await eventually('both to be told of a gap', () => a.gaps() === 1 && b.gaps() === 1)
    b.bus.publish(keyChanged('1'))
    await eventually('a to hear', () => a.heard.length === 1)
    await delay(600)
    expect([a.gaps(), b.gaps()]).toEqual([1, 1])
    expect(a.bus.health().connected).toBe(true)
  })

  test('silence is a gap, and so is its end; in between, publishing goes on and is counted', async () => {
    const a = listen(await openOverRedis('a', silent, server?.url, { gapMs: 500 }))
    server?.pause()
    await eventually('the silence to be noticed', () => a.gaps() === 1)
    expect(a.bus.health().connected).toBe(false)
    const startMs = performance.now()
    for (let count = 0; count < 100; count++) a.bus.publish(keyChanged('1'))
    expect(performance.now() - startMs).toBeLessThan(500)
    expect(a.heard).toHaveLength(100)
    await eventually('them to be counted', () => a.bus.health().unsent === 100)
    await delay(1_200)
    expect(a.gaps()).toBe(1)
    server?.resume()
    await eventually('events to arrive again', () => a.gaps() === 2)
    expect(a.bus.health()).toMatchObject({ connected: true, gaps: 2 })
  })

  test('a subscription that is there and brings nothing is replaced', async () => {
    const a = listen(await openOverRedis('a', silent, server?.url, { gapMs: 500 }))
    const idOf = async (): Promise<string | undefined> =>
      /id=(\d+).*name=llmgw-events/.exec(String(await server?.client.call('CLIENT', 'LIST')))?.[1]
    const before = await idOf()
    // The connection lives, but the commands that would be heard on it may no longer be given.
    await server?.client.call('ACL', 'SETUSER', 'default', '-publish')
    await eventually('the silence to be noticed', () => a.gaps() === 1)
    await eventually('another connection', async () => {
      const now = await idOf()
      return now !== undefined && now !== before
    })
    await server?.client.call('ACL', 'SETUSER', 'default', '+publish')
    await eventually('events to arrive again', () => a.gaps() === 2, 20_000)
  })

  test('without Redis it opens nevertheless, and its coming is a gap', async () => {
    await server?.kill()
    const a = listen(await openOverRedis('a', silent, server?.url, { firstSubscriptionMsMax: 100 }))
    expect(a.bus.health()).toMatchObject({ connected: false, lastHeardMs: undefined })
    a.bus.publish(keyChanged('1'))
    expect(a.heard).toHaveLength(1)
    await server?.restart()
    await eventually('events to arrive', () => a.gaps() === 1)
    expect(a.bus.health().connected).toBe(true)
  })

  test('in a cluster all nodes carry the events, also those that were not asked', async () => {
    const cluster = opened.use(await startRedisCluster())
    const [a, b] = [
      listen(await openOverRedis('a', silent, cluster.url)),
      listen(await openOverRedis('b', silent, cluster.url)),
    ]
    // The nodes themselves open their connections to one another anew when these are slow, and what is said meanwhile is
    // lost: an event is a hint. So it is said until it is heard.
    await eventually('b to hear', () => {
      a.bus.publish(keyChanged('1'))
      return b.heard.length > 0
    })
    await cluster.nodes[0]?.client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await eventually('both to be told of a gap', () => a.gaps() > 0 && b.gaps() > 0)
    await eventually('a to hear', () => {
      b.bus.publish(keyChanged('2'))
      return a.heard.some(({ event }) => 'keyId' in event && event.keyId === '2')
    })
  })

  test('with Sentinels the events come over the master they name', async () => {
    const group = opened.use(await startRedisSentinels())
    const [a, b] = [
      listen(await openOverRedis('a', silent, group.url)),
      listen(await openOverRedis('b', silent, group.url)),
    ]
    a.bus.publish(keyChanged('1'))
    await eventually('b to hear', () => b.heard.length === 1)
    for (const sentinel of group.sentinels) await sentinel.kill()
    await group.master.client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await delay(300)
    for (const sentinel of group.sentinels) await sentinel.restart()
    await eventually('events to arrive again', () => a.gaps() > 0 && b.gaps() > 0 && b.bus.health().connected, 20_000)
  })
})
