import type { Usage as CanonicalUsage, UsageSource } from '../../core/usage/usage.ts'
import type { UsageEnd } from '../../core/usage/usage-record.ts'
import type { CallSummary } from '../../generated/proto/thinkpixel/llmgw/v1/CallSummary.ts'
import type { Usage } from '../../generated/proto/thinkpixel/llmgw/v1/Usage.ts'
import type { UsageSource as WireUsageSource } from '../../generated/proto/thinkpixel/llmgw/v1/UsageSource.ts'

const sources = {
  provider: 'USAGE_SOURCE_PROVIDER',
  counted: 'USAGE_SOURCE_COUNTED',
  estimated: 'USAGE_SOURCE_ESTIMATED',
  none: 'USAGE_SOURCE_NONE',
} as const satisfies Record<UsageSource, WireUsageSource>

/** A usage record as its caller is shown it. */
export function callSummary(record: UsageEnd): CallSummary {
  const { input_tokens: input, output_tokens: output } = record
  return {
    requestId: record.request_id,
    provider: record.provider ?? '',
    model: record.model ?? '',
    alias: record.alias ?? '',
    attempts: record.attempts.length,
    cost: { nanoUsd: record.charged_nano },
    usage: {
      inputTokens: input,
      outputTokens: output,
      totalTokens: input + output,
      cacheReadTokens: record.cache_read_tokens,
      cacheWriteTokens: record.cache_write_tokens,
      reasoningTokens: record.reasoning_tokens,
    },
    usageSource: sources[record.usage_source],
    priceVersion: record.price_version ?? '',
    unpriced: record.unpriced,
  }
}

export function wireUsage({ units, inputTokens, outputTokens, totalTokens }: CanonicalUsage): Usage {
  return {
    inputTokens,
    outputTokens,
    totalTokens,
    cacheReadTokens: (units.cache_read ?? 0) + (units.cache_read_audio ?? 0),
    cacheWriteTokens: (units.cache_write_5m ?? 0) + (units.cache_write_1h ?? 0) + (units.cache_write_audio ?? 0),
    reasoningTokens: units.reasoning ?? 0,
  }
}
