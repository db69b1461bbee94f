import type { ServiceTier } from '../../usage/usage.ts'
import { type JsonObject, recordOr, recordsIn } from '../json.ts'
import { count, type UsageReading, usageFrom } from '../token-counts.ts'

/**
 * Bedrock's counts: `inputTokens` are those that were neither read from the cache nor written into it, and reasoning is
 * inside `outputTokens`.
 *
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html
 *
 * @param serviceTier - what the answer says it was served by
 * @returns undefined when nothing was counted
 */
export function readBedrockUsage(raw: JsonObject, serviceTier: unknown): UsageReading | undefined {
  const cached = count(raw.cacheReadInputTokens)
  const written = count(raw.cacheWriteInputTokens)
  const input = count(raw.inputTokens) + cached + written
  const output = count(raw.outputTokens)
  if (input + output === 0) return undefined
  let writtenForAnHour = 0
  for (const { ttl, inputTokens } of recordsIn(raw.cacheDetails))
    if (ttl === '1h') writtenForAnHour += count(inputTokens)
  return usageFrom(
    { input, cached, written, writtenForAnHour, output },
    serviceTierFrom(recordOr(serviceTier).type),
    raw,
  )
}

const serviceTierFrom = (tier: unknown): ServiceTier => (tier === 'priority' || tier === 'flex' ? tier : 'default')
