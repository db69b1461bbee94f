import { GatewayError } from '../../errors.ts'
import type { JsonObject } from '../json.ts'

/** Tokens, as Google's own OpenAI-compatible endpoint translates efforts. */
const budgets: Readonly<Record<string, number>> = {
  minimal: 1024,
  low: 1024,
  medium: 8192,
  high: 24_576,
  xhigh: 24_576,
}

const levels: Readonly<Record<string, string>> = {
  minimal: 'minimal',
  low: 'low',
  medium: 'medium',
  high: 'high',
  xhigh: 'high',
}

/**
 * `reasoning_effort` in the terms of the model's generation: a budget for 2.5, a level from 3 on, nothing for those
 * that do not think. Whoever asks for an effort is shown the thoughts.
 *
 * https://ai.google.dev/gemini-api/docs/thinking
 *
 * @returns `thinkingConfig`
 * @throws GatewayError unsupported_parameter
 */
export function thinkingConfigOf(effort: string | undefined, model: string): JsonObject | undefined {
  const generation = generationOf(model)
  if (effort === undefined || generation < 2.5) return undefined
  const isPro = /pro/.test(model)
  if (effort === 'none') {
    // The large ones cannot leave it: they get the least there is.
    if (generation < 3) return { thinkingBudget: isPro ? 128 : 0 }
    return { thinkingLevel: isPro ? 'low' : 'minimal' }
  }
  const level = levels[effort]
  const thinkingBudget = budgets[effort]
  if (level === undefined || thinkingBudget === undefined) {
    const known = Object.keys(levels).join(', ')
    throw new GatewayError('unsupported_parameter', `"reasoning_effort" must be none, ${known} for this model.`, {
      param: 'reasoning_effort',
    })
  }
  if (generation < 3) return { thinkingBudget, includeThoughts: true }
  return { thinkingLevel: isPro && level === 'minimal' ? 'low' : level, includeThoughts: true }
}

/** `gemini-2.5-pro` is 2.5; a name of no known form is taken for a newer model. */
export function generationOf(model: string): number {
  const found = /gemini-(\d+(?:\.\d+)?)/.exec(model)
  return found ? Number(found[1]) : 3
}
