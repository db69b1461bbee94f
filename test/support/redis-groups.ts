import { eventually } from './eventually.ts'
import { type RedisServer, startRedisServer } from './redis-server.ts'

/** Three masters that share the slots, without replicas. */
export interface RedisCluster extends AsyncDisposable {
  readonly url: string
  readonly nodes: readonly RedisServer[]
}

const slotCount = 16_384
const waitMsMax = 30_000

export async function startRedisCluster(): Promise<RedisCluster> {
  await using opening = new AsyncDisposableStack()
  const nodes: RedisServer[] = []
  for (const index of [0, 1, 2]) {
    const args = ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', '--cluster-node-timeout', '2000']
    const node = opening.use(await startRedisServer({ args }))
    nodes.push(node)
    const first = Math.floor((index * slotCount) / 3)
    const last = Math.floor(((index + 1) * slotCount) / 3) - 1
    await node.client.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1)
    await node.client.call('CLUSTER', 'ADDSLOTSRANGE', first, last)
    if (nodes[0] && index > 0) await node.client.call('CLUSTER', 'MEET', '127.0.0.1', nodes[0].port)
  }
  for (const { client } of nodes) {
    await eventually(
      'the cluster to be formed',
      async () => {
        const info = String(await client.call('CLUSTER', 'INFO'))
        return info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:3')
      },
      waitMsMax,
    )
  }
  const resources = opening.move()
  return {
    url: `redis+cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
    nodes,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

/** A master with a replica, and three Sentinels that agree on which is which. */
export interface RedisSentinels extends AsyncDisposable {
  readonly url: string
  /** The one that is master at first. */
  readonly master: RedisServer
  readonly replica: RedisServer
  readonly sentinels: readonly RedisServer[]
}

export async function startRedisSentinels(): Promise<RedisSentinels> {
  await using opening = new AsyncDisposableStack()
  const master = opening.use(await startRedisServer())
  const replica = opening.use(
    await startRedisServer({ args: ['--replicaof', `127.0.0.1 ${master.port}`, '--repl-diskless-sync-delay', '0'] }),
  )
  await eventually(
    'the replica to follow',
    async () => (await replica.client.info('replication')).includes('master_link_status:up'),
    waitMsMax,
  )
  const sentinels: RedisServer[] = []
  for (const _ of [1, 2, 3]) {
    const sentinel = [
      `sentinel monitor main 127.0.0.1 ${master.port} 2`,
      'sentinel down-after-milliseconds main 500',
      'sentinel failover-timeout main 3000',
    ]
    sentinels.push(opening.use(await startRedisServer({ sentinel })))
  }
  for (const { client } of sentinels) {
    await eventually(
      'the Sentinels to know each other and the replica',
      async () => /slaves=1,sentinels=3/.test(await client.info('sentinel')),
      waitMsMax,
    )
  }
  const resources = opening.move()
  return {
    url: `redis+sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/main`,
    master,
    replica,
    sentinels,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}
