import { unreachable } from '../errors.ts'
import type { Usage } from '../usage/usage.ts'
import type { ChatEvent, ExtraMembers, FinishReason } from './event.ts'

export interface CollectedCall {
  id: string
  name: string
  arguments: string
  extra: ExtraMembers | undefined
}

export interface CollectedChoice {
  index: number
  text: string
  reasoning: string
  refusal: string
  calls: CollectedCall[]
  extra: Record<string, unknown>
  logprobs: Record<string, unknown> | null
  reason: FinishReason
}

type ChoiceEvent = Extract<ChatEvent, { index: number }>

/** The events of an answer put together, for a client that wants it whole. */
export class CollectedAnswer {
  /** As the upstream says; undefined where it does not. */
  id: string | undefined
  model: string | undefined
  createdS: number | undefined
  usage: Usage | undefined
  /** The usage object of a provider that speaks OpenAI's form. */
  reported: ExtraMembers | undefined
  /** Beside `choices`. */
  readonly extra: Record<string, unknown> = {}
  readonly #choices = new Map<number, CollectedChoice>()

  add(event: ChatEvent): void {
    switch (event.type) {
      case 'start':
        this.id = event.id
        this.model = event.model
        this.createdS = event.createdS
        Object.assign(this.extra, event.extra)
        break
      case 'answer-extra':
        Object.assign(this.extra, event.members)
        break
      case 'usage':
        this.usage = event.usage
        this.reported = event.reported
        break
      default:
        collect(this.#choiceAt(event.index), event)
    }
  }

  /** In order; to be asked for once, when the answer is whole. */
  choices(): CollectedChoice[] {
    const inOrder = [...this.#choices.values()].sort((a, b) => a.index - b.index)
    for (const { reason, calls } of inOrder) {
      // A call without arguments must still parse; one that was cut off must not be made to look whole.
      if (reason === 'length') continue
      for (const call of calls) if (call.arguments.trim() === '') call.arguments = '{}'
    }
    return inOrder
  }

  #choiceAt(index: number): CollectedChoice {
    let choice = this.#choices.get(index)
    if (!choice) {
      const texts = { text: '', reasoning: '', refusal: '' }
      choice = { index, ...texts, calls: [], extra: {}, logprobs: null, reason: 'stop' }
      this.#choices.set(index, choice)
    }
    return choice
  }
}

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
      choice.calls[event.toolIndex] = { id, name, arguments: '', extra }
      break
    }
    case 'tool-call-delta': {
      const call = choice.calls[event.toolIndex]
      if (call) call.arguments += event.arguments
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
