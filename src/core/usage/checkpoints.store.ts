import type { Pool } from 'pg'
import type { UsageIntent } from './usage-record.ts'

/** A call under way: its intent, and what it has come to. */
export interface UsageCheckpoint extends Omit<UsageIntent, 'orphan_cost_nano' | 'input_tokens_estimate'> {
  input_tokens: number
  checkpoint_output_tokens: number
  /** What the call has cost by now, as we count: what it is charged should it never end. */
  provider_cost_nano: string
}

export interface CheckpointStore {
  /** Rows in the state `reserved`; those that have become terminal meanwhile are left alone. @throws the database's error */
  write(checkpoints: readonly UsageCheckpoint[]): Promise<void>
}

/** Columns that come from the checkpoint under their own names. */
const columns = {
  request_id: 'uuid',
  reserved_at: 'timestamptz',
  organization_id: 'uuid',
  team_id: 'uuid',
  key_id: 'uuid',
  caller_key_id: 'uuid',
  operation: 'text',
  door: 'text',
  requested_model: 'text',
  alias: 'text',
  provider: 'text',
  model: 'text',
  stream: 'boolean',
  input_tokens: 'bigint',
  checkpoint_output_tokens: 'bigint',
  price_version: 'uuid',
  unpriced: 'boolean',
  reserved_nano: 'bigint',
  provider_cost_nano: 'bigint',
  budget_period_ids: 'uuid[]',
  budget_lease_ids: 'uuid[]',
  tags: 'jsonb',
  end_user: 'text',
  client_request_id: 'text',
  owner_replica: 'text',
} as const

const names = Object.keys(columns)
/** What changes while a call goes on. */
const moving = ['checkpoint_output_tokens', 'provider_cost_nano', 'reserved_nano', 'provider', 'model']

const writeSql = `
  insert into usage_records (${names.join(', ')}, state)
  select ${names.join(', ')}, 'reserved'
  from json_to_recordset($1::json) as checkpoint (${Object.entries(columns)
    .map(([name, type]) => `${name} ${type}`)
    .join(', ')})
  order by reserved_at, request_id
  on conflict (reserved_at, request_id) do update
  set ${moving.map((name) => `${name} = excluded.${name}`).join(', ')}
  where usage_records.state = 'reserved'`

/** @param pool - that of settlement: not shared with requests */
export function createCheckpointStore(pool: Pool): CheckpointStore {
  return {
    async write(checkpoints) {
      await pool.query(writeSql, [JSON.stringify(checkpoints)])
    },
  }
}
