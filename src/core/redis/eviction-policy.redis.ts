import type { RedisClient } from './redis-client.redis.ts'

/**
 * What the servers do when their memory is full. Counters that are evicted count anew, so anything but `noeviction`
 * lets limits be exceeded.
 *
 * @returns the policy, or the first that is not `noeviction` when a cluster's masters differ; undefined when a server
 *   does not tell
 */
export async function readEvictionPolicy(client: RedisClient): Promise<string | undefined> {
  const servers = 'nodes' in client ? client.nodes('master') : [client]
  const texts = await Promise.all(servers.map((server) => server.info('memory')))
  const policies = texts.map((text) => /^maxmemory_policy:(\S+)/m.exec(text)?.[1])
  return policies.find((policy) => policy !== 'noeviction') ?? (policies.includes(undefined) ? undefined : policies[0])
}
