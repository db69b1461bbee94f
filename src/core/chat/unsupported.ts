import { GatewayError } from '../errors.ts'
import type { ChatRequest, UnsupportedParameters } from './request.ts'

/**
 * Members that every translator carries over or acts on, and those that only tune, hint or label: an upstream without
 * an equivalent may leave these away, as the answer means the same without them.
 */
const harmless: ReadonlySet<string> = new Set([
  'model',
  'messages',
  'stream',
  'stream_options',
  'max_tokens',
  'max_completion_tokens',
  'tools',
  'tool_choice',
  'parallel_tool_calls',
  'response_format',
  'stop',
  'temperature',
  'top_p',
  'seed',
  'presence_penalty',
  'frequency_penalty',
  'reasoning_effort',
  'user',
  'safety_identifier',
  'metadata',
  'service_tier',
  'store',
  'prediction',
  'verbosity',
  'prompt_cache_key',
  'prompt_cache_options',
  'prompt_cache_retention',
])

/** Says the same as leaving it out. */
function saysNothing(name: string, value: unknown): boolean {
  switch (name) {
    case 'n':
      return value === 1
    case 'logprobs':
      return value === false
    case 'top_logprobs':
      return value === 0
    case 'logit_bias':
      return typeof value === 'object' && value !== null && Object.keys(value).length === 0
    case 'modalities':
      return Array.isArray(value) && value.length === 1 && value[0] === 'text'
    default:
      return false
  }
}

/**
 * Refuses what would change the answer and cannot be said to this upstream. What only tunes may be dropped by the
 * translator without a word.
 *
 * @param known - further members that the translator carries over: `n` and `logprobs`, or a provider's own
 * @param upstream - as in "Anthropic has no equivalent of …"
 * @throws GatewayError unsupported_parameter
 */
export function refuseUnsupported(
  { members }: ChatRequest,
  known: ReadonlySet<string>,
  upstream: string,
  policy: UnsupportedParameters,
): void {
  if (policy === 'drop') return
  for (const [name, value] of Object.entries(members)) {
    if (harmless.has(name) || known.has(name) || saysNothing(name, value)) continue
    throw new GatewayError('unsupported_parameter', `${upstream} has no equivalent of "${name.slice(0, 64)}".`, {
      param: name.slice(0, 64),
    })
  }
}
