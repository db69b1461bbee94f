import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { Redis } from 'ioredis'
import { eventually } from './eventually.ts'
import { freePort } from './free-port.ts'

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
}

/** Undefined when there is none on this machine: then a suite calls `skip('no redis-server')`. */
export const redisServerBinary: string | undefined = (process.env.PATH ?? '')
  .split(delimiter)
  .map((folder) => join(folder, 'redis-server'))
  .find(isExecutable)

export async function startRedisServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  const { args = [], password } = options
  const binary = redisServerBinary
  if (binary === undefined) throw new Error('There is no redis-server on this machine.')
  // A cluster's nodes talk on the port 10000 above.
  const port = options.port ?? (await freePort({ below: 55_536, partnerOffset: 10_000 }))
  const folder = await mkdtemp(join(tmpdir(), 'llmgw-redis-'))
  let child: ChildProcess | undefined
  let client: Redis | undefined
  const killAtExit = (): void => void child?.kill('SIGKILL')
  process.once('exit', killAtExit)

  const start = async (): Promise<void> => {
    const started = spawn(
      binary,
      // biome-ignore format: one option a line
      [
        '--port', String(port),
        '--bind', '127.0.0.1',
        '--dir', folder,
        '--save', '',
        '--appendonly', 'no',
        '--daemonize', 'no',
        '--loglevel', 'warning',
        ...args,
      ],
      { stdio: 'ignore' },
    )
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

  await start()
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

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
