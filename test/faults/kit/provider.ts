import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { createInterface } from 'node:readline'

/** What the provider has written down, line by line, in the order in which it happened. */
export type JournalLine =
  | {
      at: number
      call: number
      event: 'call'
      /** What the gateway has named the call: our request id. */
      requestId: string
      model: string
      stream: boolean
      /** The output cap that came with it. */
      maxTokens: number | null
    }
  | { at: number; call: number; event: 'end'; how: HowEnded; chunksSent: number; usage?: ReportedUsage }

/** `whole` and `refused` answers have reached the operating system to their end. */
export type HowEnded = 'whole' | 'cut' | 'client_gone' | 'refused'

export interface ReportedUsage {
  prompt_tokens: number
  completion_tokens: number
}

/** One call as the provider saw it. */
export interface ProviderCall {
  requestId: string
  atMs: number
  model: string
  stream: boolean
  maxTokens: number | null
  /** Undefined while it is under way. */
  end: { how: HowEnded; atMs: number; chunksSent: number; usage: ReportedUsage | undefined } | undefined
}

/** The scripted provider: a process with a journal on disk, which outlives every replica. */
export interface FaultProvider extends AsyncDisposable {
  readonly baseUrl: string
  /** Reads the journal. */
  calls(): Promise<ProviderCall[]>
  /** Lets calls go on that wait at the gate, and those that will come to it. */
  releaseGate(name: string): Promise<void>
}

/** @param folder - where the journal is kept */
export async function startProvider(folder: string): Promise<FaultProvider> {
  const journalPath = path.join(folder, 'provider.jsonl')
  const child = spawn(process.execPath, [path.join(import.meta.dirname, 'provider-process.ts'), journalPath], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  const exited = once(child, 'exit')
  const lines = createInterface({ input: child.stdout })
  const [port] = await Promise.race([
    once(lines, 'line'),
    exited.then(() => {
      throw new Error('The provider did not start.')
    }),
  ])
  const origin = `http://127.0.0.1:${port}`
  return {
    baseUrl: `${origin}/v1`,
    calls: async () => callsOf(await readFile(journalPath, 'utf8')),
    async releaseGate(name) {
      await (await fetch(`${origin}/gates/${encodeURIComponent(name)}`, { method: 'POST' })).text()
    },
    async [Symbol.asyncDispose]() {
      kill()
      await exited
      process.off('exit', kill)
    },
  }
}

function callsOf(text: string): ProviderCall[] {
  const calls = new Map<number, ProviderCall>()
  // What stands behind the last newline is still being written.
  for (const line of text.slice(0, text.lastIndexOf('\n') + 1).split('\n')) {
    if (line === '') continue
    const parsed = JSON.parse(line) as JournalLine
    if (parsed.event === 'call') {
      const { requestId, at: atMs, model, stream, maxTokens, call } = parsed
      calls.set(call, { requestId, atMs, model, stream, maxTokens, end: undefined })
    } else {
      const call = calls.get(parsed.call)
      if (!call) throw new Error(`The provider's journal ends call ${parsed.call}, which never began.`)
      call.end = { how: parsed.how, atMs: parsed.at, chunksSent: parsed.chunksSent, usage: parsed.usage }
    }
  }
  return [...calls.values()]
}
