import { startRedisServer } from '../../support/redis-server.ts'
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

export async function startFaultRedis(): Promise<FaultRedis> {
  const server = await startRedisServer({ args: ['--maxmemory-policy', 'noeviction'] })
  const proxy = await openTcpProxy({ host: '127.0.0.1', port: server.port })
  return {
    url: `redis://127.0.0.1:${proxy.port}`,
    proxy,
    freeze: () => server.pause(),
    thaw: () => server.resume(),
    flush: async () => void (await server.client.flushall()),
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]()
      await server.close()
    },
  }
}
