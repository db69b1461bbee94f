import type { Clock } from '../clock.ts'
import { unreachable } from '../errors.ts'
import { isoTime } from '../iso-time.ts'
import { zeroNanoUsd } from '../money.ts'
import { costOf } from '../pricing/cost.ts'
import type { ExchangeFailure, ExchangeResult } from '../providers/provider.ts'
import type { Units, Usage, UsageSource } from '../usage/usage.ts'
import type { Finish, TerminalState, UsageAttempt, UsageEnd, UsageIntent } from '../usage/usage-record.ts'
import type { Call } from './call.ts'
import type { AccountedCandidate, Attempt } from './ticket.ts'

/** Bytes of ordinary text that make a token; used only where no provider counted for us. */
const bytesPerToken = 4

/** What was consumed, and who says so. */
interface Consumption {
  source: UsageSource
  billing: UsageAttempt['billing']
  usage: Usage
}

/**
 * The terminal record of a call. Pure: the same attempts give the same record.
 *
 * @param prices - one per candidate
 * @param reservedNano - what was held of each budget, for all attempts together
 */
export function usageEndOf(
  intent: UsageIntent,
  call: Call,
  attempts: readonly Attempt[],
  prices: readonly AccountedCandidate[],
  reservedNano: bigint,
  firstOutputMs: number | undefined,
  clock: Clock,
): UsageEnd {
  let costNano = 0n
  let unpriced = false
  let last: Consumption = nothing
  const rows = attempts.map((made, index): UsageAttempt => {
    const { price, unpriced: unpricedModel } = prices[made.at] as AccountedCandidate
    last = consumptionOf(made.result, intent.input_tokens_estimate)
    const bill = price && last.billing !== 'not_billed' ? costOf(price, last.usage) : free
    costNano += bill.costNano
    const used = last.source !== 'none'
    unpriced ||= used && (unpricedModel || bill.unpricedKinds.length > 0)
    return {
      attempt_no: index + 1,
      provider: made.candidate.provider.name,
      model: made.candidate.model,
      outcome: made.result.failure?.kind ?? 'answered',
      http_status: made.result.httpStatus ?? null,
      error_code: made.result.failure?.error.code ?? null,
      billing: last.billing,
      units: last.usage.units,
      service_tier: last.usage.serviceTier,
      price_version: price && !unpricedModel ? price.id : null,
      cost_nano: bill.costNano.toString(),
      total_ms: Math.round(made.totalMs),
    }
  })
  const final = attempts[attempts.length - 1]
  const { units, inputTokens, outputTokens } = last.usage
  // Field by field: copying what most of the fields are, but for some of them, would cost several times as much.
  return {
    request_id: intent.request_id,
    reserved_at: intent.reserved_at,
    organization_id: intent.organization_id,
    team_id: intent.team_id,
    key_id: intent.key_id,
    caller_key_id: intent.caller_key_id,
    operation: intent.operation,
    door: intent.door,
    requested_model: intent.requested_model,
    alias: intent.alias,
    stream: intent.stream,
    budget_period_ids: intent.budget_period_ids,
    budget_lease_ids: intent.budget_lease_ids,
    tags: intent.tags,
    end_user: intent.end_user,
    client_request_id: intent.client_request_id,
    owner_replica: intent.owner_replica,
    provider: final?.candidate.provider.name ?? null,
    model: final?.candidate.model ?? null,
    price_version: rows[rows.length - 1]?.price_version ?? null,
    unpriced,
    ended_at: isoTime(clock.nowMs()),
    state: stateOf(last.source, costNano),
    finish: finishOf(final?.result),
    usage_source: last.source,
    retry_uncertain: attempts.some((made) => made !== final && made.result.failure?.billing === 'maybe_billed'),
    http_status: final?.result.httpStatus ?? null,
    error_code: final?.result.failure?.error.code ?? null,
    input_tokens: inputTokens,
    cache_read_tokens: (units.cache_read ?? 0) + (units.cache_read_audio ?? 0),
    cache_write_tokens: (units.cache_write_5m ?? 0) + (units.cache_write_1h ?? 0) + (units.cache_write_audio ?? 0),
    output_tokens: outputTokens,
    reasoning_tokens: units.reasoning ?? 0,
    units,
    implausible_usage: final?.result.implausibleUsage ?? null,
    provider_cost_nano: costNano.toString(),
    charged_nano: costNano.toString(),
    reserved_nano: reservedNano.toString(),
    overrun_nano:
      intent.budget_period_ids.length > 0 && costNano > reservedNano ? (costNano - reservedNano).toString() : '0',
    first_output_ms: firstOutputMs === undefined ? null : Math.round(firstOutputMs - call.startedMs),
    total_ms: Math.round(clock.monotonicMs() - call.startedMs),
    provider_response_id: final?.result.providerResponseId ?? null,
    attempts: rows,
  }
}

const free = { costNano: zeroNanoUsd, unpricedKinds: [] } as const

const nothing: Consumption = {
  source: 'none',
  billing: 'not_billed',
  usage: { units: {}, inputTokens: 0, outputTokens: 0, totalTokens: 0, serviceTier: 'default' },
}

/** Whether an attempt used anything, as far as anybody knows; what used nothing is not charged. */
export const usedAnything = (result: ExchangeResult): boolean => consumptionOf(result, 0).source !== 'none'

/** The table "Which number to charge" of docs/accounting.md, row by row. */
function consumptionOf(result: ExchangeResult, inputTokensEstimate: number): Consumption {
  const { failure, usage, outputBytes } = result
  if (usage)
    return { source: 'provider', billing: 'billed', usage: { ...usage, units: { ...usage.units, request: 1 } } }
  if (!failure) return counted(inputTokensEstimate, outputBytes)
  if (failure.billing !== 'maybe_billed') return nothing
  switch (failure.kind) {
    case 'cancelled':
      return counted(inputTokensEstimate, outputBytes)
    case 'timeout':
      return outputBytes > 0
        ? counted(inputTokensEstimate, outputBytes)
        : { ...counted(inputTokensEstimate, 0), source: 'estimated' }
    case 'connect':
    case 'status':
    case 'cut':
    case 'malformed':
    case 'in-stream':
    case 'refused':
      return outputBytes > 0 ? counted(inputTokensEstimate, outputBytes) : { ...nothing, billing: 'unknown' }
    default:
      return unreachable(failure.kind)
  }
}

/** What we make of a call that nobody has counted for us. */
export function counted(inputTokens: number, outputBytes: number): Consumption {
  const outputTokens = Math.ceil(outputBytes / bytesPerToken)
  const units: Units = { input: inputTokens, output: outputTokens, request: 1 }
  return {
    source: 'counted',
    billing: 'estimated',
    usage: { units, inputTokens, outputTokens, totalTokens: inputTokens + outputTokens, serviceTier: 'default' },
  }
}

function stateOf(source: UsageSource, costNano: bigint): TerminalState {
  if (source === 'estimated') return 'estimated'
  return source === 'none' && costNano === 0n ? 'released' : 'settled'
}

function finishOf(result: ExchangeResult | undefined): Finish | null {
  if (!result?.failure) return result?.finish ?? 'stop'
  return finishOfFailure(result.failure)
}

function finishOfFailure({ kind, error }: ExchangeFailure): Finish {
  if (error.code === 'server_shutting_down') return 'shutdown'
  if (kind === 'cancelled') return 'client_disconnected'
  return kind === 'timeout' ? 'timeout' : 'provider_error'
}
