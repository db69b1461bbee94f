import { createUuidV7Source } from '../../src/core/ids.ts'
import type { UsageEnd, UsageIntent } from '../../src/core/usage/usage-record.ts'

export const testOrganizationId = '0193591c-7d5c-7abc-8def-0123456789ab'
export const testKeyId = '0193591c-7d5c-7abc-8def-0123456789ad'

const newId = createUuidV7Source()
const priceVersion = '0193591c-7d5c-7abc-8def-0123456789ae'

/** A call as it is journaled before dispatch; 1,200 tokens in, estimated at 180,000 nano-USD. */
export function usageIntent(changes: Partial<UsageIntent> = {}): UsageIntent {
  return {
    request_id: newId(Date.now()),
    reserved_at: '2026-11-23T20:00:00.123Z',
    organization_id: testOrganizationId,
    team_id: '0193591c-7d5c-7abc-8def-0123456789ac',
    caller_key_id: null,
    key_id: testKeyId,
    operation: 'chat',
    door: 'rest',
    requested_model: 'smart',
    alias: 'smart',
    provider: 'openai',
    model: 'gpt-4o-mini',
    stream: true,
    input_tokens_estimate: 1_200,
    orphan_cost_nano: '180000',
    price_version: priceVersion,
    unpriced: false,
    reserved_nano: '2580000',
    budget_period_ids: [],
    budget_lease_ids: [],
    tags: { team: 'payments', env: 'prod' },
    end_user: null,
    client_request_id: null,
    owner_replica: 'replica-1',
    ...changes,
  }
}

/** How that call ended: answered by its first candidate, for 360,000 nano-USD. */
export function usageEnd(intent: UsageIntent, changes: Partial<UsageEnd> = {}): UsageEnd {
  const { input_tokens_estimate: _, orphan_cost_nano: __, ...shared } = intent
  const units = { input: 1_200, output: 300 }
  return {
    ...shared,
    ended_at: '2026-11-23T20:00:01.123Z',
    state: 'settled',
    finish: 'stop',
    usage_source: 'provider',
    retry_uncertain: false,
    http_status: 200,
    error_code: null,
    input_tokens: 1_200,
    cache_read_tokens: 0,
    cache_write_tokens: 0,
    output_tokens: 300,
    reasoning_tokens: 0,
    units,
    implausible_usage: null,
    provider_cost_nano: '360000',
    overrun_nano: '0',
    charged_nano: '360000',
    first_output_ms: 210,
    total_ms: 1_000,
    provider_response_id: 'chatcmpl-abcdefghijkl',
    attempts: [
      {
        attempt_no: 1,
        provider: 'openai',
        model: 'gpt-4o-mini',
        outcome: 'answered',
        http_status: 200,
        error_code: null,
        billing: 'billed',
        units,
        service_tier: 'default',
        price_version: priceVersion,
        cost_nano: '360000',
        total_ms: 990,
      },
    ],
    ...changes,
  }
}
