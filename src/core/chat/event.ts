import type { Usage } from '../usage/usage.ts'

/**
 * One step of a chat answer, in no provider's format. Adapters that translate produce these; doors write them out.
 * Order: `start`, then any deltas, `choice-end` once per choice, `usage` where known. `index` numbers choices,
 * `toolIndex` numbers the tool calls of one choice from 0.
 */
export type ChatEvent =
  | { type: 'start'; id: string | undefined; model: string | undefined; createdS: number | undefined }
  | { type: 'text-delta'; index: number; text: string; logprobs?: unknown }
  | { type: 'reasoning-delta'; index: number; text: string }
  | { type: 'refusal-delta'; index: number; text: string }
  | { type: 'tool-call-start'; index: number; toolIndex: number; id: string; name: string }
  | { type: 'tool-call-delta'; index: number; toolIndex: number; arguments: string }
  | { type: 'choice-end'; index: number; reason: FinishReason }
  | { type: 'usage'; usage: Usage }

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
      return true
    default:
      return false
  }
}
