import { Gauge, type Registry } from 'prom-client'
import { type PoolName, type Pools, poolNames } from '../core/db/pools.ts'
import type { Door } from '../core/inference/call.ts'
import type { KeyCache } from '../core/keys/key-cache.ts'
import type { ReplicaRegistry } from '../core/replicas/replica-registry.ts'
import type { Snapshots } from '../core/routing/snapshots.ts'
import type { UsageSpool } from '../core/usage/usage-spool.ts'
import { registerSampled } from './series.ts'

export interface GatewayMetricsSources {
  spool: Pick<UsageSpool, 'stats'>
  keyCache: Pick<KeyCache, 'statistics'>
  snapshots: Pick<Snapshots, 'statistics'>
  replicas: Pick<ReplicaRegistry, 'expectedReplicas' | 'sinceBeatMs'>
  openAnswers(): number
  openStreams(door: Door): number
  pools: Pools
}

/** What the parts count themselves, read when Prometheus asks. */
export function registerGatewayMetrics(registry: Registry, sources: GatewayMetricsSources): void {
  const { spool, keyCache, snapshots, replicas } = sources
  const gauges: [name: string, help: string, read: () => number][] = [
    ['llmgw_requests_in_flight', 'Answers under way.', sources.openAnswers],
    ['llmgw_usage_journal_open_calls', 'Calls that began and have not ended.', () => spool.stats().open],
    ['llmgw_usage_journal_pending_records', 'End records not in the database yet.', () => spool.stats().pendingRecords],
    ['llmgw_usage_journal_bytes', 'Bytes in the local usage journal.', () => spool.stats().bytes],
    ['llmgw_usage_journal_fill_ratio', 'How full the journal is; at 1 calls are refused.', () => spool.stats().fill],
    ['llmgw_usage_writer_lag_seconds', 'How long the oldest record waits.', () => spool.stats().writer.lagMs / 1_000],
    ['llmgw_usage_records_applied', 'Records this process made terminal.', () => spool.stats().writer.applied],
    ['llmgw_usage_records_refused', 'Records set aside for good.', () => spool.stats().writer.refused],
    ['llmgw_usage_records_damaged', 'Damaged stretches in the journal.', () => spool.stats().writer.damaged],
    ['llmgw_usage_writer_failures_in_a_row', 'Database failures.', () => spool.stats().writer.failuresInARow],
    ['llmgw_key_cache_entries', 'Keys in memory.', () => keyCache.statistics().size],
    ['llmgw_key_cache_hits', 'Look-ups answered from memory.', () => keyCache.statistics().hits],
    ['llmgw_key_cache_misses', 'Look-ups that asked the database.', () => keyCache.statistics().misses],
    ['llmgw_key_cache_stale_serves', 'Answers from old entries.', () => keyCache.statistics().staleServes],
    ['llmgw_config_version', 'The configuration in force.', () => Number(snapshots.statistics().version ?? 0)],
    ['llmgw_config_rejected', 'Configurations rejected.', () => snapshots.statistics().rejected],
    ['llmgw_replicas', 'Replicas in service, as far as known.', replicas.expectedReplicas],
    ['llmgw_replica_heartbeat_age_seconds', 'Since the last heartbeat.', () => replicas.sinceBeatMs() / 1_000],
    ['llmgw_config_load_failures', 'Configuration loads that failed.', () => snapshots.statistics().failed],
  ]
  registerSampled(registry, { name: 'llmgw_streams_open', help: 'Streamed answers under way.', type: 'gauge' }, () =>
    (['rest', 'grpc'] as const).map((door) => ({ labels: { door }, value: sources.openStreams(door) })),
  )
  const pool = (name: string, help: string, read: (pool: Pools[PoolName]) => number): void =>
    registerSampled(registry, { name, help, type: 'gauge' }, () =>
      poolNames.map((pool) => ({ labels: { pool }, value: read(sources.pools[pool]) })),
    )
  pool('llmgw_database_connections', 'Connections to the database.', ({ totalCount }) => totalCount)
  pool('llmgw_database_connections_idle', 'Those that nobody uses now.', ({ idleCount }) => idleCount)
  pool('llmgw_database_connections_max', 'As many as the pool may open.', ({ options }) => options.max)
  pool('llmgw_database_waiting', 'Who waits for a connection.', ({ waitingCount }) => waitingCount)
  for (const [name, help, read] of gauges) {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read())
      },
    })
  }
}
