import type { ServiceTier } from '../../usage/usage.ts'
import { type JsonObject, recordOr } from '../json.ts'
import { count, type UsageReading, usageFrom } from '../token-counts.ts'

/**
 * Anthropic's counts: `input_tokens` are those that were neither read from the cache nor written into it, and thinking
 * is inside `output_tokens`.
 *
 * https://platform.claude.com/docs/en/api/messages/create (Usage)
 *
 * @param raw - what `message_start` said, replaced by what each `message_delta` said: the counts are sums, not additions
 * @returns undefined when nothing was counted
 */
export function readAnthropicUsage(raw: JsonObject): UsageReading | undefined {
  const { ephemeral_5m_input_tokens, ephemeral_1h_input_tokens } = recordOr(raw.cache_creation)
  const forFiveMinutes = count(ephemeral_5m_input_tokens)
  const forAnHour = count(ephemeral_1h_input_tokens)
  const cached = count(raw.cache_read_input_tokens)
  const written = count(raw.cache_creation_input_tokens ?? forFiveMinutes + forAnHour)
  const input = count(raw.input_tokens) + cached + written
  const output = count(raw.output_tokens)
  if (input + output === 0) return undefined
  return usageFrom(
    {
      input,
      cached,
      written,
      writtenForAnHour: forAnHour,
      output,
      reasoning: count(recordOr(raw.output_tokens_details).thinking_tokens),
      searches: count(recordOr(raw.server_tool_use).web_search_requests),
    },
    serviceTierFrom(raw.service_tier),
    raw,
  )
}

const serviceTierFrom = (tier: unknown): ServiceTier => (tier === 'priority' || tier === 'batch' ? tier : 'default')
