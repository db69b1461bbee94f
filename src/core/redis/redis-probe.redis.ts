import type { Redis } from 'ioredis'
import type { RedisClient } from './redis-client.redis.ts'

/** Finds out whether Redis serves again. */
export interface RedisProbe {
  /** Rejects as the driver does; waits as long as it takes. */
  run(): Promise<void>
  /** Gives up the connections that seem open and did not answer the last probe: their server may be gone for good. */
  reconnectSilent(): void
}

const probeKeyMs = 10_000

/** Writes, so that a server that lets itself only be read is not taken for a healthy one. In a cluster all must answer. */
export function createRedisProbe({
  client,
  keyPrefix,
  random,
}: {
  client: RedisClient
  keyPrefix: string
  random: () => number
}): RedisProbe {
  let silent = new Set<Redis>()
  return {
    async run() {
      const servers = serversOf(client)
      const asked = new Set(servers)
      silent = asked
      await Promise.all([
        client.set(`${keyPrefix}probe:${Math.floor(random() * 1_000)}`, '', 'PX', probeKeyMs),
        ...servers.map(async (server) => {
          await server.ping()
          asked.delete(server)
        }),
      ])
    },
    reconnectSilent() {
      // A node of a cluster is not connected to again by itself: the cluster is asked whether it is still one.
      for (const server of silent) if (server.status === 'ready') server.disconnect(server === client)
    },
  }
}

function serversOf(client: RedisClient): readonly Redis[] {
  return 'nodes' in client ? client.nodes('master') : [client]
}
