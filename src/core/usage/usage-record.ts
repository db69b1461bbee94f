import type { Door, Operation } from '../inference/call.ts'
import type { ServiceTier, Units, UsageSource } from './usage.ts'

/**
 * What the journal keeps of a call, and what becomes its row: names are the columns of `usage_records`, money and
 * other 64-bit integers are decimal strings, instants are ISO 8601 in UTC. JSON of these objects is stored as is.
 */
export interface UsageIntent {
  request_id: string
  reserved_at: string
  organization_id: string
  team_id: string | null
  /** Whose usage it is: the key that pays. */
  key_id: string
  /** The key that the client presented, where another one pays. */
  caller_key_id: string | null
  operation: Operation
  door: Door
  requested_model: string
  alias: string | null
  /** The first candidate; what really answered is in the end record. */
  provider: string
  model: string
  stream: boolean
  /** Upper bound of the prompt, from its bytes: what an orphan is estimated from. */
  input_tokens_estimate: number
  /** What those tokens cost at the first candidate, in nano-USD: what an orphan is charged. */
  orphan_cost_nano: string
  price_version: string | null
  unpriced: boolean
  /** Held of each budget; an end says what the attempts held altogether. */
  reserved_nano: string
  /** The budget periods that the call counts in. */
  budget_period_ids: readonly string[]
  /** In the order of `budget_period_ids`: the lease that the call's money is taken from; null where nothing was held. */
  budget_lease_ids: readonly (string | null)[]
  tags: Readonly<Record<string, string>>
  end_user: string | null
  client_request_id: string | null
  owner_replica: string
}

export type TerminalState = 'settled' | 'released' | 'estimated'

export type Finish =
  | 'stop'
  | 'length'
  | 'tool_calls'
  | 'content_filter'
  | 'client_disconnected'
  | 'provider_error'
  | 'timeout'
  | 'shutdown'
  | 'orphaned'

/** One terminal record: everything a `usage_records` row needs, so that applying it needs no other record. */
export interface UsageEnd
  extends Omit<UsageIntent, 'input_tokens_estimate' | 'orphan_cost_nano' | 'provider' | 'model'> {
  provider: string | null
  model: string | null
  ended_at: string
  state: TerminalState
  finish: Finish | null
  usage_source: UsageSource
  /** An attempt that may have been billed was followed by another one. */
  retry_uncertain: boolean
  http_status: number | null
  error_code: string | null
  input_tokens: number
  cache_read_tokens: number
  cache_write_tokens: number
  output_tokens: number
  reasoning_tokens: number
  units: Units
  implausible_usage: unknown
  provider_cost_nano: string
  charged_nano: string
  /** What the call cost beyond what was held for it; 0 where nothing was. */
  overrun_nano: string
  first_output_ms: number | null
  total_ms: number | null
  provider_response_id: string | null
  attempts: readonly UsageAttempt[]
}

/** One upstream attempt, failed ones included; names are the columns of `usage_attempts`. */
export interface UsageAttempt {
  attempt_no: number
  provider: string
  model: string
  outcome: string
  http_status: number | null
  error_code: string | null
  billing: 'billed' | 'not_billed' | 'estimated' | 'unknown'
  units: Units
  /** Prices may depend on it, so a cost can only be recomputed with it. */
  service_tier: ServiceTier
  price_version: string | null
  cost_nano: string
  total_ms: number
}
