import type { ChatEvent, FinishReason } from '../../chat/event.ts'
import { type AnswerFacts, noFacts } from '../answer-reader.ts'
import { malformedFailure } from '../failures.ts'
import { isRecord, type JsonObject, nonEmptyString, recordOr, recordsIn } from '../json.ts'
import type { ExchangeFailure } from '../provider.ts'
import { anthropicStreamFailure } from './errors.ts'
import { readAnthropicUsage } from './usage.ts'

export interface MessageOptions {
  /** The tool whose input is the answer, where a schema had to be put that way. */
  answerTool: string | undefined
  /** Replaced wherever it is echoed in an error. */
  credential: string | undefined
}

/** A content block that has begun: what its deltas mean. */
type OpenBlock =
  | { kind: 'text' }
  | { kind: 'thinking'; text: string; signature: string }
  | { kind: 'tool'; toolIndex: number; input: JsonObject | undefined; hasDelta: boolean }
  | { kind: 'answer'; input: JsonObject | undefined; hasDelta: boolean }
  | { kind: 'other' }

/**
 * Anthropic's messages, streamed or whole, as canonical events. Blocks and events of unknown types are passed over:
 * Anthropic adds to them freely.
 *
 * https://platform.claude.com/docs/en/build-with-claude/streaming
 */
export class MessageEvents {
  readonly facts: AnswerFacts = noFacts()
  /** The answer has said that it is whole. */
  isWhole = false
  readonly #options: MessageOptions
  #events: ChatEvent[] = []
  readonly #blocks = new Map<unknown, OpenBlock>()
  #started = false
  #toolCount = 0
  #stopReason: string | undefined
  #refusal: string | undefined
  /** Counts are sums so far: later ones replace. */
  readonly #usage: Record<string, unknown> = {}

  constructor(options: MessageOptions) {
    this.#options = options
  }

  /** The events since the last time. */
  taken(): ChatEvent[] {
    const events = this.#events
    this.#events = []
    return events
  }

  get hasStopReason(): boolean {
    return this.#stopReason !== undefined
  }

  /** One event of a stream. */
  take(event: unknown): ExchangeFailure | undefined {
    if (!isRecord(event)) return malformedFailure('an event is no object')
    switch (event.type) {
      case 'message_start':
        // A proxy that splices a second try behind the first sends another: the answer goes on.
        this.#start(recordOr(event.message))
        break
      case 'content_block_start':
        this.#openBlock(event.index, recordOr(event.content_block))
        break
      case 'content_block_delta':
        this.#delta(event.index, recordOr(event.delta))
        break
      case 'content_block_stop':
        this.#closeBlock(event.index)
        break
      case 'message_delta':
        this.#ended(recordOr(event.delta))
        this.#count(event.usage)
        break
      case 'message_stop':
        this.isWhole = true
        break
      case 'error':
        return anthropicStreamFailure(event.error, this.#options.credential)
    }
    return undefined
  }

  /** An answer that came whole. */
  takeWhole(message: unknown): ExchangeFailure | undefined {
    if (!isRecord(message)) return malformedFailure('it is no object')
    if (message.type === 'error') return anthropicStreamFailure(message.error, this.#options.credential)
    if (!Array.isArray(message.content)) return malformedFailure('it has no content')
    this.#start(message)
    for (const [index, block] of recordsIn(message.content).entries()) {
      this.#openBlock(index, block)
      this.#closeBlock(index)
    }
    this.#ended(message)
    this.isWhole = true
    return undefined
  }

  /** What comes at the end of a whole answer. */
  finish(): ExchangeFailure | undefined {
    if (!this.#started) return malformedFailure('no message begins in it')
    for (const index of [...this.#blocks.keys()]) this.#closeBlock(index)
    if (this.#refusal !== undefined) this.#emit({ type: 'refusal-delta', index: 0, text: this.#refusal })
    const reason = finishReasonOf(this.#stopReason, this.#toolCount > 0)
    this.facts.finish = reason
    if (this.#stopReason !== undefined && isOdd(this.#stopReason, reason)) this.facts.oddFinish = this.#stopReason
    this.#emit({ type: 'choice-end', index: 0, reason })
    const { usage } = this.facts
    if (usage) this.#emit({ type: 'usage', usage })
    return undefined
  }

  #start(message: JsonObject): void {
    this.#count(message.usage)
    if (this.#started) return
    this.#started = true
    const id = nonEmptyString(message.id)
    this.facts.providerResponseId = id
    this.#events.push({ type: 'start', id, model: nonEmptyString(message.model), createdS: undefined })
  }

  #openBlock(index: unknown, block: JsonObject): void {
    this.#closeBlock(index)
    this.#blocks.set(index, this.#blockOf(block))
  }

  #blockOf(block: JsonObject): OpenBlock {
    switch (block.type) {
      case 'text':
        this.#text(block.text)
        return { kind: 'text' }
      case 'thinking':
        this.#thought(block.thinking)
        return { kind: 'thinking', text: textOf(block.thinking), signature: textOf(block.signature) }
      case 'redacted_thinking':
        this.#keepThinking({ type: 'redacted_thinking', data: block.data })
        return { kind: 'other' }
      case 'tool_use': {
        // The start of a streamed block has an empty input, whatever is to come.
        const input = isRecord(block.input) && Object.keys(block.input).length > 0 ? block.input : undefined
        if (block.name === this.#options.answerTool) return { kind: 'answer', input, hasDelta: false }
        const toolIndex = this.#toolCount++
        const id = nonEmptyString(block.id) ?? `toolu_${toolIndex}`
        this.#emit({ type: 'tool-call-start', index: 0, toolIndex, id, name: textOf(block.name) })
        return { kind: 'tool', toolIndex, input, hasDelta: false }
      }
      default:
        return { kind: 'other' }
    }
  }

  #delta(index: unknown, delta: JsonObject): void {
    const block = this.#blocks.get(index)
    switch (delta.type) {
      case 'text_delta':
        // A text needs no start to be understood.
        if (!block || block.kind === 'text') this.#text(delta.text)
        break
      case 'thinking_delta':
        if (block?.kind === 'thinking') block.text += textOf(delta.thinking)
        if (!block || block.kind === 'thinking') this.#thought(delta.thinking)
        break
      case 'signature_delta':
        if (block?.kind === 'thinking') block.signature += textOf(delta.signature)
        break
      case 'input_json_delta':
        if (block?.kind === 'tool' || block?.kind === 'answer') this.#input(block, textOf(delta.partial_json))
    }
  }

  #input(block: Extract<OpenBlock, { kind: 'tool' | 'answer' }>, json: string): void {
    if (json === '') return
    block.hasDelta = true
    if (block.kind === 'answer') this.#text(json)
    else this.#emit({ type: 'tool-call-delta', index: 0, toolIndex: block.toolIndex, arguments: json })
  }

  #closeBlock(index: unknown): void {
    const block = this.#blocks.get(index)
    if (!block) return
    this.#blocks.delete(index)
    if (block.kind === 'thinking') {
      const { text: thinking, signature } = block
      if (signature !== '') this.#keepThinking({ type: 'thinking', thinking, signature })
    } else if ((block.kind === 'tool' || block.kind === 'answer') && block.input && !block.hasDelta) {
      this.#input(block, JSON.stringify(block.input))
    }
  }

  /** Whole, so that whoever collects the answer has them as they must go back. */
  #keepThinking(block: JsonObject): void {
    this.#emit({ type: 'message-extra', index: 0, members: { thinking_blocks: [block] } })
  }

  #text(value: unknown): void {
    const text = textOf(value)
    if (text !== '') this.#emit({ type: 'text-delta', index: 0, text })
  }

  #thought(value: unknown): void {
    const text = textOf(value)
    if (text !== '') this.#emit({ type: 'reasoning-delta', index: 0, text })
  }

  #ended({ stop_reason, stop_details }: JsonObject): void {
    this.#stopReason = nonEmptyString(stop_reason) ?? this.#stopReason
    this.#refusal = nonEmptyString(recordOr(stop_details).explanation) ?? this.#refusal
  }

  #count(usage: unknown): void {
    if (!isRecord(usage)) return
    for (const name in usage) if (usage[name] !== null) this.#usage[name] = usage[name]
    const reading = readAnthropicUsage(this.#usage)
    if (reading && 'usage' in reading) {
      this.facts.usage = reading.usage
      this.facts.implausibleUsage = undefined
    } else if (reading) {
      this.facts.usage = undefined
      this.facts.implausibleUsage = reading.implausible
    }
  }

  #emit(event: ChatEvent): void {
    if (!this.#started) this.#start({})
    this.#events.push(event)
    if ('text' in event) this.facts.outputBytes += Buffer.byteLength(event.text)
    else if (event.type === 'tool-call-delta') this.facts.outputBytes += Buffer.byteLength(event.arguments)
  }
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

const ordinaryEnds: readonly string[] = ['end_turn', 'stop_sequence', 'pause_turn', 'tool_use']

const isOdd = (stopReason: string, reason: FinishReason): boolean =>
  (reason === 'stop' || reason === 'tool_calls') && !ordinaryEnds.includes(stopReason)

/** Agents go on calling tools only when they are told so. */
function finishReasonOf(stopReason: string | undefined, hasCalls: boolean): FinishReason {
  switch (stopReason) {
    case 'max_tokens':
    case 'model_context_window_exceeded':
      return 'length'
    case 'refusal':
      return 'content_filter'
    default:
      return hasCalls ? 'tool_calls' : 'stop'
  }
}
