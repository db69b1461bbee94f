import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { beforeEach } from 'vitest'
import { eventually } from './eventually.ts'
import { freePort } from './free-port.ts'
import { makeRedisFolder, redisPidFile } from './redis-leftovers.ts'
import { redisServerBinary } from './redis-server-binary.ts'

/** A Redis of this test's own, on 127.0.0.1, that keeps nothing on disk. */
export interface RedisServer extends AsyncDisposable {
  readonly port: number
  /** `redis://127.0.0.1:port` */
  readonly url: string
  /** For looking into it; a connection without a breaker. */
  readonly client: Redis
  /** SIGSTOP: it takes connections and commands and answers nothing. */
  pause(): void
  resume(): void
  /** SIGKILL; waits until the process is gone. */
  kill(): Promise<void>
  /** Starts it anew on the same port, empty; kills it first where it runs. */
  restart(): Promise<void>
  close(): Promise<void>
}

export interface RedisServerOptions {
  port?: number
  /** Further arguments of redis-server, such as `['--requirepass', 'x']`. */
  args?: readonly string[]
  password?: string
  /** Makes it a Sentinel, with these lines of configuration. */
  sentinel?: readonly string[]
}

/** For a file of tests that need one: they are skipped, and listed as such, where there is none. */
export function needsRedisServer(): void {
  beforeEach(({ skip }) => skip(redisServerBinary() === undefined, 'there is no redis-server on this machine'))
}

export async function startRedisServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  if (options.port !== undefined) return startOn(options.port, options)
  for (let attempts = 1; ; attempts++) {
    // A cluster's nodes talk on the port 10000 above.
    const port = await freePort({ below: 55_536, partnerOffset: 10_000 })
    try {
      return await startOn(port, options)
    } catch (error) {
      // Somebody else may have taken the port in between.
      if (attempts === 3) throw error
    }
  }
}

async function startOn(port: number, options: RedisServerOptions): Promise<RedisServer> {
  const { password } = options
  const binary = redisServerBinary()
  if (binary === undefined) throw new Error('There is no redis-server on this machine.')
  const folder = await makeRedisFolder()
  let child: ChildProcess | undefined
  let client: Redis | undefined
  const killAtExit = (): void => void child?.kill('SIGKILL')
  process.once('exit', killAtExit)

  const start = async (): Promise<void> => {
    const started = spawn(binary, await argumentsOf({ ...options, port, folder }), { stdio: 'ignore' })
    child = started
    await eventually(`redis-server on port ${port}`, () => {
      if (started.exitCode !== null) throw new Error(`redis-server ended with ${started.exitCode}.`)
      return answers(port, password)
    })
  }
  const kill = async (): Promise<void> => {
    const running = child
    child = undefined
    if (!running || running.exitCode !== null || running.signalCode !== null) return
    const gone = once(running, 'exit')
    running.kill('SIGKILL')
    await gone
  }
  const close = async (): Promise<void> => {
    client?.disconnect()
    await kill()
    process.off('exit', killAtExit)
    await rm(folder, { recursive: true, force: true })
  }

  await start().catch(async (error: unknown) => {
    await close()
    throw error
  })
  return {
    port,
    url: `redis://${password === undefined ? '' : `:${encodeURIComponent(password)}@`}127.0.0.1:${port}`,
    get client() {
      client ??= new Redis({ port, host: '127.0.0.1', ...(password !== undefined && { password }) }).on(
        'error',
        () => {},
      )
      return client
    },
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    kill,
    async restart() {
      await kill()
      await start()
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

interface Placed extends RedisServerOptions {
  port: number
  folder: string
}

async function argumentsOf({ port, folder, args = [], sentinel }: Placed): Promise<string[]> {
  const place = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--pidfile', redisPidFile(folder)]
  const common = [...place, '--loglevel', 'warning', ...args]
  if (sentinel === undefined) return [...common, '--save', '', '--appendonly', 'no']
  const file = join(folder, 'sentinel.conf')
  // It keeps what it learns there, which a restart must not undo.
  if (!existsSync(file)) await writeFile(file, `${sentinel.join('\n')}\n`)
  return [file, '--sentinel', ...common]
}

/** Whether a server on this port answers PING, asked without the driver. */
function answers(port: number, password: string | undefined): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    let received = ''
    const end = (isUp: boolean): void => {
      socket.destroy()
      resolve(isUp)
    }
    socket.setTimeout(500, () => end(false))
    socket.on('error', () => end(false))
    socket.on('connect', () => socket.write(`${password === undefined ? '' : `AUTH ${password}\r\n`}PING\r\n`))
    socket.on('data', (bytes) => {
      received += bytes.toString()
      if (received.includes('+PONG')) end(true)
      else if (received.includes('LOADING')) end(false)
    })
  })
}
