import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { Redis } from 'ioredis'
import { eventually } from '../../support/eventually.ts'
import { freePort } from '../../support/gateway-home.ts'
import { openTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts'

/** A Redis of the suite's own, behind a proxy that replicas reach it through. */
export interface FaultRedis extends AsyncDisposable {
  /** By way of the proxy. */
  readonly url: string
  readonly proxy: TcpProxy
  /** SIGSTOP: connections stay open, and nobody answers. */
  freeze(): void
  thaw(): void
  /** All data is lost, as by a restart without persistence. */
  flush(): Promise<void>
}

/** @returns undefined when there is no redis-server on this machine */
export async function startFaultRedis(folder: string): Promise<FaultRedis | undefined> {
  const dir = path.join(folder, 'redis')
  await mkdir(dir, { recursive: true })
  const port = await freePort()
  const child = spawn(
    'redis-server',
    [
      ...['--bind', '127.0.0.1', '--port', String(port), '--dir', dir],
      ...['--save', '', '--appendonly', 'no', '--maxmemory-policy', 'noeviction'],
    ],
    { stdio: 'ignore' },
  )
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  const isThere = await Promise.race([once(child, 'spawn').then(() => true), once(child, 'error').then(() => false)])
  if (!isThere) return undefined
  await eventually('Redis to answer', () => pings(port))
  const proxy = await openTcpProxy({ host: '127.0.0.1', port })
  return {
    url: `redis://127.0.0.1:${proxy.port}`,
    proxy,
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    flush: () => ask(port, (redis) => redis.flushall().then(() => undefined)),
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]()
      await end(child)
      process.off('exit', kill)
    },
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL') // also one that is frozen
  await exited
}

const pings = (port: number): Promise<boolean> =>
  ask(port, async (redis) => (await redis.ping()) === 'PONG').catch(() => false)

async function ask<T>(port: number, question: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis({
    host: '127.0.0.1',
    port,
    lazyConnect: true,
    enableOfflineQueue: false,
    retryStrategy: () => null,
  })
  redis.on('error', () => {}) // told by the promises
  try {
    await redis.connect()
    return await question(redis)
  } finally {
    redis.disconnect()
  }
}
