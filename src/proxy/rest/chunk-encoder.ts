import type { ChatEvent, ExtraMembers, FinishReason } from '../../core/chat/event.ts'
import { unreachable } from '../../core/errors.ts'
import type { AnswerIdentity, ChatEncoder } from './chat-encoder.ts'
import { toOpenAiUsage } from './openai-usage.ts'

const done = Buffer.from('data: [DONE]\n\n')

/** What a choice must be told at its end: which of its calls have no arguments yet. */
interface ChoiceState {
  callsWithoutArguments: Set<number>
}

/**
 * Events as `chat.completion.chunk` frames: one id, model and creation time for all, a role in the first chunk of each
 * choice, the usage chunk only where it was asked for. What a chunk repeats is put together once; per event only the
 * delta is.
 */
export function createChunkEncoder(identity: AnswerIdentity, includeUsage: boolean): ChatEncoder {
  return new ChunkEncoder(identity, includeUsage)
}

class ChunkEncoder implements ChatEncoder {
  readonly #identity: AnswerIdentity
  readonly #includeUsage: boolean
  /** From `data: ` to what stands before `choices`. */
  #head: string
  /** The same up to the delta of choice 0, by far the most frequent. */
  #deltaHead = ''
  readonly #deltaEnd: string
  readonly #choices = new Map<number, ChoiceState>()
  /** Members for the next chunk only. */
  #pendingMembers: ExtraMembers | undefined

  constructor(identity: AnswerIdentity, includeUsage: boolean) {
    this.#identity = identity
    this.#includeUsage = includeUsage
    this.#deltaEnd = `,"logprobs":null,"finish_reason":null}]${this.#chunkEnd}`
    this.#head = this.#headOf(identity, {})
    this.#deltaHead = this.#deltaHeadOf(0)
  }

  encode(event: ChatEvent): Buffer | undefined {
    switch (event.type) {
      case 'start':
        this.#start(event)
        return undefined
      case 'text-delta':
        return Buffer.from(this.#text(event))
      case 'reasoning-delta':
        return this.#delta(event.index, `"reasoning_content":${JSON.stringify(event.text)}`)
      case 'refusal-delta':
        return this.#delta(event.index, `"refusal":${JSON.stringify(event.text)}`)
      case 'tool-call-start':
        return this.#callStart(event)
      case 'tool-call-delta': {
        const { index, toolIndex } = event
        if (event.arguments.trim() !== '') this.#choice(index).callsWithoutArguments.delete(toolIndex)
        return this.#delta(index, argumentsDelta(toolIndex, event.arguments))
      }
      case 'message-extra':
        return this.#delta(event.index, membersOf(event.members))
      case 'answer-extra':
        this.#pendingMembers = { ...this.#pendingMembers, ...event.members }
        return undefined
      case 'choice-end':
        return Buffer.from(this.#choiceEnd(event.index, event.reason))
      case 'usage': {
        if (!this.#includeUsage) return undefined
        const usage = JSON.stringify(toOpenAiUsage(event.usage, event.reported))
        return Buffer.from(`${this.#takeHead()}"choices":[],"usage":${usage}}\n\n`)
      }
      default:
        return unreachable(event)
    }
  }

  end(): Buffer {
    if (!this.#pendingMembers) return done
    return Buffer.concat([Buffer.from(`${this.#takeHead()}"choices":[]${this.#chunkEnd}`), done])
  }

  /** With usage asked for, OpenAI's other chunks say that it is still to come. */
  get #chunkEnd(): string {
    return this.#includeUsage ? ',"usage":null}\n\n' : '}\n\n'
  }

  #start({ id, model, createdS, extra = {} }: Extract<ChatEvent, { type: 'start' }>): void {
    const everywhere: Record<string, unknown> = {}
    const once: Record<string, unknown> = {}
    for (const name in extra) (typeof extra[name] === 'object' ? once : everywhere)[name] = extra[name]
    const { id: ownId, model: ownModel, createdS: ownCreatedS } = this.#identity
    const identity = { id: id ?? ownId, model: model ?? ownModel, createdS: createdS ?? ownCreatedS }
    this.#head = this.#headOf(identity, everywhere)
    this.#deltaHead = this.#deltaHeadOf(0)
    if (Object.keys(once).length > 0) this.#pendingMembers = once
  }

  #headOf({ id, model, createdS }: AnswerIdentity, extra: ExtraMembers): string {
    const chunk = JSON.stringify({ id, object: 'chat.completion.chunk', created: createdS, model, ...extra })
    return `data: ${chunk.slice(0, -1)},`
  }

  #deltaHeadOf(index: number): string {
    return `${this.#head}"choices":[{"index":${index},"delta":{`
  }

  #takeHead(): string {
    if (!this.#pendingMembers) return this.#head
    const head = `${this.#head}${membersOf(this.#pendingMembers)},`
    this.#pendingMembers = undefined
    return head
  }

  /** Up to the first member of a choice's delta: the role, where it is the first one. */
  #beforeDelta(index: number): string {
    const isFirst = !this.#choices.has(index)
    if (isFirst) this.#choices.set(index, { callsWithoutArguments: new Set() })
    if (!isFirst && index === 0 && !this.#pendingMembers) return this.#deltaHead
    const head = this.#pendingMembers
      ? `${this.#takeHead()}"choices":[{"index":${index},"delta":{`
      : this.#deltaHeadOf(index)
    return isFirst ? `${head}"role":"assistant",` : head
  }

  #choice(index: number): ChoiceState {
    return this.#choices.get(index) ?? { callsWithoutArguments: new Set() }
  }

  #delta(index: number, members: string): Buffer {
    return Buffer.from(`${this.#beforeDelta(index)}${members}}${this.#deltaEnd}`)
  }

  #text({ index, text, logprobs }: Extract<ChatEvent, { type: 'text-delta' }>): string {
    const end =
      logprobs === undefined
        ? this.#deltaEnd
        : `,"logprobs":${JSON.stringify(logprobs)},"finish_reason":null}]${this.#chunkEnd}`
    return `${this.#beforeDelta(index)}"content":${JSON.stringify(text)}}${end}`
  }

  #callStart({ index, toolIndex, id, name, extra }: Extract<ChatEvent, { type: 'tool-call-start' }>): Buffer {
    const call = { index: toolIndex, id, type: 'function', function: { name, arguments: '' }, ...extra }
    const isFirst = !this.#choices.has(index)
    // A client that takes the first delta for the message needs to see that there is no text.
    const content = isFirst ? '"content":null,' : ''
    const bytes = this.#delta(index, `${content}"tool_calls":[${JSON.stringify(call)}]`)
    this.#choice(index).callsWithoutArguments.add(toolIndex)
    return bytes
  }

  #choiceEnd(index: number, reason: FinishReason): string {
    let frames = this.#choices.has(index) ? '' : `${this.#beforeDelta(index)}"content":""}${this.#deltaEnd}`
    // A call without arguments must still parse; one that was cut off must not be made to look whole.
    if (reason !== 'length') {
      for (const toolIndex of this.#choice(index).callsWithoutArguments) {
        frames += `${this.#beforeDelta(index)}${argumentsDelta(toolIndex, '{}')}}${this.#deltaEnd}`
      }
    }
    return `${frames}${this.#beforeDelta(index)}},"logprobs":null,"finish_reason":"${reason}"}]${this.#chunkEnd}`
  }
}

const argumentsDelta = (toolIndex: number, text: string): string =>
  `"tool_calls":[{"index":${toolIndex},"function":{"arguments":${JSON.stringify(text)}}}]`

/** An object's members without its braces; there is at least one. */
const membersOf = (members: ExtraMembers): string => JSON.stringify(members).slice(1, -1)
