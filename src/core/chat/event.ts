import type { Usage } from '../usage/usage.ts'

/** Members of OpenAI's wire format that the gateway passes on without knowing them; never null or empty. */
export type ExtraMembers = Readonly<Record<string, unknown>>

/**
 * One step of a chat answer, in no provider's format. Adapters that translate produce these; doors write them out.
 * Order: `start`, then any deltas, `choice-end` once per choice, `usage` where known. `index` numbers choices,
 * `toolIndex` numbers the tool calls of one choice from 0.
 */
export type ChatEvent =
  | {
      type: 'start'
      id: string | undefined
      model: string | undefined
      createdS: number | undefined
      /** Beside `choices`: `system_fingerprint`, `service_tier`, a provider's own. */
      extra?: ExtraMembers
    }
  | { type: 'text-delta'; index: number; text: string; logprobs?: unknown }
  | { type: 'reasoning-delta'; index: number; text: string }
  | { type: 'refusal-delta'; index: number; text: string }
  | {
      type: 'tool-call-start'
      index: number
      toolIndex: number
      id: string
      name: string
      /** Beside `function`: `extra_content` carries what a provider wants back with the call. */
      extra?: ExtraMembers
    }
  | { type: 'tool-call-delta'; index: number; toolIndex: number; arguments: string }
  /** In a choice's delta or message: `annotations`, `audio`, signatures of reasoning. */
  | { type: 'message-extra'; index: number; members: ExtraMembers }
  /** Beside `choices`, known only after `start`: `citations`, a late `service_tier`. */
  | { type: 'answer-extra'; members: ExtraMembers }
  | { type: 'choice-end'; index: number; reason: FinishReason }
  | {
      type: 'usage'
      usage: Usage
      /** The usage object of a provider that speaks OpenAI's form, which its clients know: cost, times, its own sums. */
      reported?: ExtraMembers
    }

export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter'

/** True for what a reader would miss: after it has been passed on, no other provider may answer. */
export function isOutput(event: ChatEvent): boolean {
  switch (event.type) {
    case 'text-delta':
    case 'reasoning-delta':
    case 'refusal-delta':
      return event.text.length > 0
    case 'tool-call-start':
    case 'tool-call-delta':
    case 'message-extra':
      return true
    default:
      return false
  }
}
