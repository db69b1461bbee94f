import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What the private listener tells: whether the process runs, whether it should get traffic, and its metrics. */
export interface OpsServerDeps {
  /** Why the process should get no traffic; empty means ready. */
  notReadyReasons(): readonly string[]
  /** Members of the answer to `/readyz` beside `status` and `reasons`. */
  readinessDetail(): object
  metrics(): Promise<{ contentType: string; text: string }>
}

export interface OpsServer {
  listen(host: string, port: number): Promise<AddressInfo>
  close(): Promise<void>
}

/**
 * The private listener: /healthz, /readyz, /metrics. It is apart from the doors so that it can stay off the public
 * network, and so that probes are answered while the doors are closed.
 */
export function createOpsServer({ notReadyReasons, readinessDetail, metrics }: OpsServerDeps): OpsServer {
  const server = createServer(async (request, response) => {
    const reply = (status: number, contentType: string, text: string): void => {
      response.writeHead(status, { 'content-type': contentType, 'cache-control': 'no-store' }).end(text)
    }
    if (request.method !== 'GET') return reply(405, 'text/plain', 'Only GET is served here.\n')
    switch (request.url?.split('?')[0]) {
      case '/healthz':
        return reply(200, 'application/json', '{"status":"ok"}\n')
      case '/readyz': {
        const reasons = notReadyReasons()
        const status = reasons.length === 0 ? 'ready' : 'not ready'
        const body = { status, reasons, ...readinessDetail() }
        return reply(reasons.length === 0 ? 200 : 503, 'application/json', `${JSON.stringify(body)}\n`)
      }
      case '/metrics':
        try {
          const { contentType, text } = await metrics()
          return reply(200, contentType, text)
        } catch {
          return reply(500, 'text/plain', 'The metrics could not be collected.\n')
        }
      default:
        return reply(404, 'text/plain', 'Here are /healthz, /readyz and /metrics.\n')
    }
  })
  return {
    listen: (host, port) =>
      new Promise((resolve, reject) => {
        server.once('error', reject)
        server.listen(port, host, () => {
          server.off('error', reject)
          resolve(server.address() as AddressInfo)
        })
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
