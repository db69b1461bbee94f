/** A gateway as a process of its own, for the programs of this folder, and what its processor time is. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

export interface RunningGateway {
  gateway: ChildProcess
  /** Of the REST door. */
  port: number
  grpcPort: number
}

/** A clock tick of Linux. */
const tickUs = 10_000

/** Processor time of a process so far, in microseconds. */
export function cpuUs({ pid }: ChildProcess): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * tickUs
}

/**
 * Resolves when it is ready. It has the embedded database, whose processor time is not its own.
 *
 * @param config - what its file says
 */
export async function startGateway(folder: string, config: object): Promise<RunningGateway> {
  const configFile = join(folder, 'gateway.yaml')
  // JSON is YAML.
  await writeFile(configFile, JSON.stringify(config))
  const [port, grpcPort, opsPort] = await Promise.all([freePort(), freePort(), freePort()])
  const gateway = spawn(process.execPath, ['--max-semi-space-size=16', join(import.meta.dirname, '../src/main.ts')], {
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      LLMGW_DATA_DIR: join(folder, 'data'),
      LLMGW_CONFIG: configFile,
      LLMGW_PORT: String(port),
      LLMGW_GRPC_PORT: String(grpcPort),
      LLMGW_OPS_PORT: String(opsPort),
      LLMGW_ADMIN_PORT: '0',
      LLMGW_DRAIN_DELAY_MS: '0',
      LLMGW_PRIVATE_UPSTREAMS: '127.0.0.1/32',
    },
    stdio: 'ignore',
  })
  const readyUrl = `http://127.0.0.1:${opsPort}/readyz`
  while (gateway.exitCode === null) {
    const response = await fetch(readyUrl).catch(() => undefined)
    if (response?.ok) return { gateway, port, grpcPort }
    await delay(100)
  }
  throw new Error('The gateway stopped before it was ready.')
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
