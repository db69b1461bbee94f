import type { ChatRequest } from '../../chat/request.ts'
import { GatewayError } from '../../errors.ts'
import { isRecord, type JsonObject } from '../json.ts'
import type { ModelAbilities } from './models.ts'

/** What keeps a model from thinking, beside the request's own words. */
export interface ThinkingLimits {
  /** Of the whole answer: thinking is inside. */
  maxTokens: number
  /** The conversation ends in results of a call whose thinking the client has not kept. */
  lacksThinking: boolean
}

export interface Thinking {
  thinking: unknown
  outputConfig?: JsonObject
}

/** The least that Anthropic takes, and what we leave for the answer itself. */
const thinkingTokensMin = 1024

const thinkingTokensByEffort: Readonly<Record<string, number>> = {
  minimal: 1024,
  low: 2048,
  medium: 8192,
  high: 16_384,
  xhigh: 32_768,
  max: 32_768,
}

/**
 * What the client says itself goes on as it is. An effort is left out where thinking would make the request invalid:
 * beside a tool that must be called, after a tool call whose thinking the client has not kept, within a cap too small.
 */
export function thinkingOf(
  { members, reasoningEffort: effort, toolChoice }: ChatRequest,
  abilities: ModelAbilities,
  { maxTokens, lacksThinking }: ThinkingLimits,
): Thinking | undefined {
  if (members.thinking !== undefined) return { thinking: members.thinking }
  const mustCall = toolChoice?.kind === 'required' || toolChoice?.kind === 'function'
  if (effort === undefined || effort === 'none' || !abilities.thinking) return undefined
  if (abilities.adaptiveThinking) {
    const outputConfig = { effort: effort === 'minimal' ? 'low' : effort }
    return mustCall ? { thinking: undefined, outputConfig } : { thinking: { type: 'adaptive' }, outputConfig }
  }
  const wanted = thinkingTokensByEffort[effort]
  if (wanted === undefined) {
    const known = Object.keys(thinkingTokensByEffort).join(', ')
    throw new GatewayError('unsupported_parameter', `"reasoning_effort" must be none, ${known} for this model.`, {
      param: 'reasoning_effort',
    })
  }
  const budget = Math.min(wanted, maxTokens - 1)
  if (mustCall || budget < thinkingTokensMin || lacksThinking) return undefined
  return { thinking: { type: 'enabled', budget_tokens: budget } }
}

export const isOn = (thinking: unknown): boolean => isRecord(thinking) && thinking.type !== 'disabled'
