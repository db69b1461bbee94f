import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'

/** A port of 127.0.0.1 that is free, and so is the one `partnerOffset` above it. */
export async function freePort(options: { below?: number; partnerOffset?: number } = {}): Promise<number> {
  const { below = 65_536, partnerOffset = 0 } = options
  for (;;) {
    const port = await tryPort(0)
    const candidate = port !== undefined && port < below ? port : 10_000 + Math.floor(Math.random() * (below - 10_000))
    if ((await tryPort(candidate)) === undefined) continue
    if (partnerOffset === 0 || (await tryPort(candidate + partnerOffset)) !== undefined) return candidate
  }
}

/** @returns the port that could be listened on, or undefined */
async function tryPort(port: number): Promise<number | undefined> {
  const server = createServer()
  try {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    const found = (server.address() as AddressInfo).port
    server.close()
    await once(server, 'close')
    return found
  } catch {
    return undefined
  }
}
