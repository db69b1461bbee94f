import { rm } from 'node:fs/promises'
import { type GatewayHome, makeGatewayHome } from '../../support/gateway-home.ts'
import { type GatewayProcess, startGateway } from '../../support/gateway-process.ts'

/** One gateway of several: it can be killed, paused, started again on its data folder, and lose that folder. */
export interface Replica extends AsyncDisposable {
  readonly name: string
  /** Throws while it is down. */
  readonly restUrl: string
  readonly opsUrl: string
  /** Waits until it serves. */
  start(): Promise<void>
  stop(): Promise<void>
  /** SIGKILL. */
  kill(): Promise<void>
  /** SIGSTOP: it holds what it holds, and does nothing. */
  pause(): void
  resume(): void
  /** The machine is gone with its disk: the journal of this replica is lost. */
  loseDisk(): Promise<void>
  /** What it has said in all its lives, from the level of warnings on, and its standard error. */
  complaints(): string
}

/** What a person is told at a start says nothing about a failure. */
const endOfWelcome = 'Ctrl-C stops everything.'

export async function makeReplica(name: string, config: object, env: Record<string, string>): Promise<Replica> {
  const home: GatewayHome = await makeGatewayHome()
  await home.configure(config)
  let running: GatewayProcess | undefined
  const lives: GatewayProcess[] = []
  const alive = (): GatewayProcess => {
    if (!running) throw new Error(`Replica ${name} is down.`)
    return running
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const ending = running
    running = undefined
    if (!ending) return
    ending.signal('SIGCONT')
    await ending.stop(signal)
  }
  return {
    name,
    get restUrl() {
      return alive().restUrl
    },
    get opsUrl() {
      return alive().opsUrl
    },
    async start() {
      if (running) return
      running = await startGateway({ home, env: { ...env, LLMGW_CONFIG: home.configPath } })
      lives.push(running)
    },
    stop: () => end('SIGTERM'),
    async kill() {
      const killed = running
      running = undefined
      await killed?.stop('SIGKILL')
    },
    pause: () => alive().signal('SIGSTOP'),
    resume: () => alive().signal('SIGCONT'),
    async loseDisk() {
      if (running) throw new Error(`Replica ${name} still runs.`)
      await rm(home.dataDir, { recursive: true, force: true })
    },
    complaints: () =>
      lives
        .map(({ log, stderr }, life) => {
          const lines = log.filter(({ level }) => level >= 40).map((line) => JSON.stringify(line))
          const told = stderr.split(endOfWelcome).at(-1)?.trim().slice(-2_000)
          return [`-- replica ${name}, life ${life + 1}`, ...lines.slice(-40), told].filter(Boolean).join('\n')
        })
        .join('\n'),
    async [Symbol.asyncDispose]() {
      for (const life of lives) await life[Symbol.asyncDispose]()
      await home[Symbol.asyncDispose]()
    },
  }
}
