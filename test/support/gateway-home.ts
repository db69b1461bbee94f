import { once } from 'node:events'
import { chown, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { readPostmasterFile, stopProcess } from '../../src/core/db/postmaster.ts'

/** A folder for one gateway: where it runs, with its data folder and its config file in it. Gone when the block ends. */
export interface GatewayHome extends AsyncDisposable {
  readonly path: string
  /** Made by the gateway. */
  readonly dataDir: string
  readonly configPath: string
  /** Writes the config file; JSON is YAML. */
  configure(content: object | string): Promise<void>
  /** The pid of the built-in PostgreSQL, if it has left one. */
  postgresPid(): Promise<number | undefined>
}

export interface GatewayHomeOptions {
  /** Below the home; `data` when absent. */
  dataDir?: string
  owner?: { uid: number; gid: number }
}

export async function makeGatewayHome({ dataDir = 'data', owner }: GatewayHomeOptions = {}): Promise<GatewayHome> {
  const home = await mkdtemp(path.join(tmpdir(), 'llmgw-e2e-'))
  if (owner) await chown(home, owner.uid, owner.gid)
  const data = path.join(home, dataDir)
  const configPath = path.join(home, 'llmgw.yaml')
  const clusterFolder = path.join(data, 'postgres/data')
  const postgresPid = async (): Promise<number | undefined> => (await readPostmasterFile(clusterFolder))?.pid
  return {
    path: home,
    dataDir: data,
    configPath,
    configure: (content) =>
      writeFile(configPath, typeof content === 'string' ? content : JSON.stringify(content, undefined, 2)),
    postgresPid,
    async [Symbol.asyncDispose]() {
      const pid = await postgresPid()
      // Of a gateway that a test has killed.
      if (pid !== undefined && (await servesFolder(pid, clusterFolder))) {
        await stopProcess(pid, () => hasEnded(pid))
      }
      await rm(home, { recursive: true, force: true, maxRetries: 10 })
    },
  }
}

/** Whether the process is gone, or only waits for somebody to notice. */
export async function hasEnded(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  return status === undefined || status.slice(status.lastIndexOf(')') + 2).startsWith('Z')
}

/**
 * A port that nobody listens on, below those that outgoing connections take, so that it stays free while the test
 * does not listen on it.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000)
    const server = createServer()
    const listening = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!listening) continue
    server.close()
    await once(server, 'close')
    return port
  }
}

async function servesFolder(pid: number, clusterFolder: string): Promise<boolean> {
  const words = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return words.includes(clusterFolder)
}
