import type { ChatEvent, FinishReason } from '../../core/chat/event.ts'
import { unreachable } from '../../core/errors.ts'
import type { AnswerIdentity, ChatEncoder } from './chat-encoder.ts'
import { type OpenAiUsage, toOpenAiUsage } from './openai-usage.ts'

interface CollectedCall {
  id: string
  type: 'function'
  function: { name: string; arguments: string }
}

interface CollectedChoice {
  text: string
  reasoning: string
  refusal: string
  calls: CollectedCall[]
  extra: Record<string, unknown>
  logprobs: Record<string, unknown> | null
  reason: FinishReason
}

/** Events as one `chat.completion`; `encode` never has anything to send, `end` has all of it. */
export function createCompletionCollector({ id, model, createdS }: AnswerIdentity): ChatEncoder {
  const head = { id, object: 'chat.completion', created: createdS, model }
  const extra: Record<string, unknown> = {}
  const choices = new Map<number, CollectedChoice>()
  let usage: OpenAiUsage | undefined

  const choiceAt = (index: number): CollectedChoice => {
    let choice = choices.get(index)
    if (!choice) {
      choice = { text: '', reasoning: '', refusal: '', calls: [], extra: {}, logprobs: null, reason: 'stop' }
      choices.set(index, choice)
    }
    return choice
  }

  return {
    encode(event) {
      switch (event.type) {
        case 'start':
          head.id = event.id ?? id
          head.model = event.model ?? model
          head.created = event.createdS ?? createdS
          Object.assign(extra, event.extra)
          break
        case 'answer-extra':
          Object.assign(extra, event.members)
          break
        case 'usage':
          usage = toOpenAiUsage(event.usage, event.reported)
          break
        default:
          collect(choiceAt(event.index), event)
      }
      return undefined
    },
    end() {
      const inOrder = [...choices].sort(([a], [b]) => a - b)
      const answer = { ...head, ...extra, choices: inOrder.map(([index, choice]) => wireChoice(index, choice)), usage }
      return Buffer.from(JSON.stringify(answer))
    },
  }
}

type ChoiceEvent = Extract<ChatEvent, { index: number }>

function collect(choice: CollectedChoice, event: ChoiceEvent): void {
  switch (event.type) {
    case 'text-delta':
      choice.text += event.text
      if (event.logprobs !== undefined) choice.logprobs = joined(choice.logprobs ?? {}, event.logprobs)
      break
    case 'reasoning-delta':
      choice.reasoning += event.text
      break
    case 'refusal-delta':
      choice.refusal += event.text
      break
    case 'tool-call-start': {
      const { id, name, extra } = event
      choice.calls[event.toolIndex] = { id, type: 'function', function: { name, arguments: '' }, ...extra }
      break
    }
    case 'tool-call-delta': {
      const call = choice.calls[event.toolIndex]
      if (call) call.function.arguments += event.arguments
      break
    }
    case 'message-extra':
      choice.extra = joined(choice.extra, event.members)
      break
    case 'choice-end':
      choice.reason = event.reason
      break
    default:
      unreachable(event)
  }
}

/** Lists grow, anything else is replaced. */
function joined(members: Record<string, unknown>, more: unknown): Record<string, unknown> {
  const result = { ...members }
  for (const [name, value] of Object.entries(more as Record<string, unknown>)) {
    const before = result[name]
    result[name] = Array.isArray(before) && Array.isArray(value) ? [...before, ...value] : value
  }
  return result
}

function wireChoice(index: number, { text, reasoning, refusal, calls, extra, logprobs, reason }: CollectedChoice) {
  if (reason !== 'length') {
    // A call without arguments must still parse; one that was cut off must not be made to look whole.
    for (const call of calls)
      call.function.arguments = call.function.arguments.trim() === '' ? '{}' : call.function.arguments
  }
  return {
    index,
    message: {
      role: 'assistant',
      content: text === '' && (calls.length > 0 || refusal !== '') ? null : text,
      refusal: refusal === '' ? null : refusal,
      ...(reasoning !== '' && { reasoning_content: reasoning }),
      ...(calls.length > 0 && { tool_calls: calls }),
      ...extra,
    },
    logprobs,
    finish_reason: reason,
  }
}
