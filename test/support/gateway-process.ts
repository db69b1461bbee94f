import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { GatewayHome } from './gateway-home.ts'

/** The gateway as an operator runs it: a process of its own, that knows nothing but what its environment says. */
export interface GatewayProcess extends AsyncDisposable {
  readonly pid: number
  /** Of the REST listener, such as `http://127.0.0.1:8080`; known once it is ready. */
  readonly restUrl: string
  /** Of the private listener. */
  readonly opsUrl: string
  /** Standard output, line by line. */
  readonly output: readonly string[]
  /** Those lines of it that are log lines. */
  readonly log: readonly LoggedLine[]
  readonly stderr: string
  /** Resolves when the process is gone and its output has been read to the end. */
  readonly exit: Promise<Exit>
  /**
   * Resolves with the first such line, logged already or yet to come.
   *
   * @param wanted - its message, or what must hold of it
   */
  logged(wanted: string | ((line: LoggedLine) => boolean)): Promise<LoggedLine>
  signal(name: NodeJS.Signals): void
  /** What Ctrl-C in a terminal does: the whole process group gets it. */
  signalGroup(name: NodeJS.Signals): void
  stop(signal?: NodeJS.Signals): Promise<Exit>
}

export interface LoggedLine {
  level: number
  time: string
  msg: string
  [field: string]: unknown
}

export interface Exit {
  code: number | null
  signal: NodeJS.Signals | null
}

export interface GatewayProcessOptions {
  home: GatewayHome
  /** Beside what every test gateway gets; wins over it. */
  env?: Readonly<Record<string, string | undefined>>
  /** What is run, instead of what `npm start` runs. */
  command?: readonly [program: string, ...args: string[]]
  cwd?: string
  uid?: number
  gid?: number
  /** What it reads from its standard input; without it there is none. */
  input?: string
}

export const checkout = path.resolve(import.meta.dirname, '../..')

/** What `npm start` runs, of this checkout or of another one. */
export const startCommand = (folder: string = checkout): [string, ...string[]] => [
  process.execPath,
  '--import',
  path.join(folder, 'src/node-version.mjs'),
  path.join(folder, 'src/main.ts'),
]

/** Nothing of the environment of the tests but where programs and temporary files are. */
export function cleanEnvironment(home: GatewayHome): Record<string, string> {
  const { PATH = '/usr/bin:/bin', TMPDIR } = process.env
  return {
    PATH,
    ...(TMPDIR ? { TMPDIR } : {}),
    LLMGW_DATA_DIR: home.dataDir,
    LLMGW_PORT: '0',
    LLMGW_OPS_PORT: '0',
    LLMGW_ADMIN_PORT: '0',
    LLMGW_GRPC_PORT: '0',
    LLMGW_DRAIN_DELAY_MS: '0',
    LLMGW_DRAIN_TIMEOUT_MS: '2000',
  }
}

/** Long enough for a first start on a busy machine; a test that hangs should say on what. */
const patienceMs = 45_000

/** Starts the process and waits for nothing. */
export function spawnGateway({ home, env = {}, command = startCommand(), input, ...options }: GatewayProcessOptions) {
  const [program, ...args] = command
  const child = spawn(program, args, {
    ...options,
    cwd: options.cwd ?? home.path,
    env: { ...cleanEnvironment(home), ...env },
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    detached: true,
  })
  child.stdin?.end(input)
  const pid = child.pid
  if (pid === undefined) throw new Error(`${program} cannot be run.`)
  const killGroup = (): void => {
    try {
      process.kill(-pid, 'SIGKILL')
    } catch {
      // The group is gone.
    }
  }
  // A test run that ends early leaves nothing behind.
  process.once('exit', killGroup)
  const output: string[] = []
  const log: LoggedLine[] = []
  let stderr = ''
  let waiting: (() => void)[] = []
  const changed = (): void => {
    for (const resolve of waiting) resolve()
    waiting = []
  }
  createInterface({ input: child.stdout as Readable }).on('line', (line) => {
    output.push(line)
    const parsed = loggedLine(line)
    if (parsed) log.push(parsed)
    changed()
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  let hasExited = false
  const exit = once(child, 'close').then(([code, signal]): Exit => {
    hasExited = true
    process.off('exit', killGroup)
    changed()
    return { code, signal }
  })
  const described = (): string => `stderr:\n${stderr}\nlast log lines:\n${output.slice(-5).join('\n')}`
  const urlFrom = (listener: 'rest' | 'ops'): string => {
    const ready = log.find(({ msg }) => msg === 'ready')?.[listener] as { port: number } | undefined
    if (!ready) throw new Error('The gateway is not ready.')
    return `http://127.0.0.1:${ready.port}`
  }
  const signalTo = (target: number, name: NodeJS.Signals): void => {
    if (!hasExited) process.kill(target, name)
  }

  const gateway: GatewayProcess = {
    pid,
    get restUrl() {
      return urlFrom('rest')
    },
    get opsUrl() {
      return urlFrom('ops')
    },
    output,
    log,
    get stderr() {
      return stderr
    },
    exit,
    async logged(wanted) {
      const isWanted = typeof wanted === 'string' ? ({ msg }: LoggedLine) => msg === wanted : wanted
      for (const deadlineMs = performance.now() + patienceMs; ; ) {
        const found = log.find(isWanted)
        if (found) return found
        if (hasExited) throw new Error(`The gateway ended without logging ${wanted}; ${described()}`)
        if (performance.now() > deadlineMs) throw new Error(`The gateway did not log ${wanted}; ${described()}`)
        const next = Promise.withResolvers<void>()
        waiting.push(next.resolve)
        const timer = setTimeout(next.resolve, 1_000)
        await next.promise
        clearTimeout(timer)
      }
    },
    signal: (name) => signalTo(pid, name),
    signalGroup: (name) => signalTo(-pid, name),
    stop(signal = 'SIGTERM') {
      signalTo(pid, signal)
      return exit
    },
    async [Symbol.asyncDispose]() {
      killGroup()
      await exit
    },
  }
  return gateway
}

/** Starts the gateway and waits until it serves. */
export async function startGateway(options: GatewayProcessOptions): Promise<GatewayProcess> {
  const gateway = spawnGateway(options)
  try {
    await gateway.logged('ready')
    return gateway
  } catch (error) {
    await gateway[Symbol.asyncDispose]()
    throw error
  }
}

/** Runs `llmgw` with these words to its end. */
export async function llmgw(
  home: GatewayHome,
  words: readonly string[],
  options: Omit<GatewayProcessOptions, 'home' | 'command'> = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const command = [process.execPath, path.join(checkout, 'src/llmgw.mjs'), ...words] as const
  await using running = spawnGateway({ home, command, ...options })
  const { code } = await running.exit
  return { code, stdout: running.output.join('\n'), stderr: running.stderr }
}

function loggedLine(line: string): LoggedLine | undefined {
  try {
    const parsed = JSON.parse(line)
    return typeof parsed?.msg === 'string' ? parsed : undefined
  } catch {
    return undefined
  }
}
