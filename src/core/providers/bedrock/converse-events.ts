import type { ChatEvent, FinishReason } from '../../chat/event.ts'
import { type AnswerFacts, noFacts } from '../answer-reader.ts'
import { cutFailure, malformedFailure } from '../failures.ts'
import { isRecord, type JsonObject, nonEmptyString, recordOr } from '../json.ts'
import type { ExchangeFailure } from '../provider.ts'
import { readBedrockUsage } from './usage.ts'

/** A content block that has begun, by a start of its own or by its first delta. */
interface OpenBlock {
  tool?: { toolIndex: number | undefined; input: JsonObject | undefined; hasDelta: boolean }
  reasoning?: { text: string; signature: string; redacted: Buffer[] }
}

/**
 * What Converse and ConverseStream answer, as the AWS SDK hands it over, as canonical events. Members of unknown names
 * are passed over.
 *
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html
 */
export class ConverseEvents {
  readonly facts: AnswerFacts = noFacts()
  readonly #answerTool: string | undefined
  #events: ChatEvent[] = []
  readonly #blocks = new Map<unknown, OpenBlock>()
  #started = false
  #toolCount = 0
  #stopReason: string | undefined

  /** @param answerTool - the tool whose input is the answer, where a schema had to be put that way */
  constructor(answerTool: string | undefined) {
    this.#answerTool = answerTool
  }

  /** The events since the last time. */
  taken(): ChatEvent[] {
    const events = this.#events
    this.#events = []
    return events
  }

  /** One member of a stream. */
  take(event: JsonObject): void {
    const { messageStart, contentBlockStart, contentBlockDelta, contentBlockStop, messageStop, metadata } = event
    if (messageStart) this.#start()
    if (isRecord(contentBlockStart))
      this.#openBlock(contentBlockStart.contentBlockIndex, recordOr(contentBlockStart.start))
    if (isRecord(contentBlockDelta)) this.#delta(contentBlockDelta.contentBlockIndex, recordOr(contentBlockDelta.delta))
    if (isRecord(contentBlockStop)) this.#closeBlock(contentBlockStop.contentBlockIndex)
    if (isRecord(messageStop)) this.#stopReason = nonEmptyString(messageStop.stopReason) ?? 'end_turn'
    if (isRecord(metadata)) this.#count(metadata.usage, metadata.serviceTier)
  }

  /** An answer that came whole. */
  takeWhole({ output, stopReason, usage, serviceTier }: JsonObject): ExchangeFailure | undefined {
    const { content } = recordOr(recordOr(output).message)
    if (!Array.isArray(content)) return malformedFailure('it has no content')
    this.#start()
    for (const [index, block] of content.entries()) {
      if (!isRecord(block)) continue
      this.#openBlock(index, block)
      if (block.text !== undefined || block.reasoningContent !== undefined) this.#delta(index, deltaOf(block))
      this.#closeBlock(index)
    }
    this.#stopReason = nonEmptyString(stopReason) ?? 'end_turn'
    this.#count(usage, serviceTier)
    return undefined
  }

  /** The body has ended: whether the answer had, and what comes at its end. */
  finish(): ExchangeFailure | undefined {
    if (this.#stopReason === undefined) return cutFailure()
    for (const index of [...this.#blocks.keys()]) this.#closeBlock(index)
    const reason = finishReasonOf(this.#stopReason, this.#toolCount > 0)
    this.facts.finish = reason
    if (isOdd(this.#stopReason, reason)) this.facts.oddFinish = this.#stopReason
    this.#emit({ type: 'choice-end', index: 0, reason })
    const { usage } = this.facts
    if (usage) this.#emit({ type: 'usage', usage })
    return undefined
  }

  #start(): void {
    if (this.#started) return
    this.#started = true
    this.#events.push({ type: 'start', id: undefined, model: undefined, createdS: undefined })
  }

  #openBlock(index: unknown, { toolUse }: JsonObject): void {
    this.#closeBlock(index)
    if (!isRecord(toolUse)) return
    const input = isRecord(toolUse.input) && Object.keys(toolUse.input).length > 0 ? toolUse.input : undefined
    const name = textOf(toolUse.name)
    let toolIndex: number | undefined
    if (name !== this.#answerTool) {
      toolIndex = this.#toolCount++
      const id = nonEmptyString(toolUse.toolUseId) ?? `tooluse_${toolIndex}`
      this.#emit({ type: 'tool-call-start', index: 0, toolIndex, id, name })
    }
    this.#blocks.set(index, { tool: { toolIndex, input, hasDelta: false } })
  }

  /** Blocks of text and of reasoning have no start. */
  #delta(index: unknown, { text, toolUse, reasoningContent }: JsonObject): void {
    const block = this.#blocks.get(index)
    if (typeof text === 'string') this.#text(text)
    if (isRecord(toolUse) && block?.tool) this.#input(block.tool, textOf(toolUse.input))
    if (!isRecord(reasoningContent)) return
    const open = block ?? {}
    this.#blocks.set(index, open)
    open.reasoning ??= { text: '', signature: '', redacted: [] }
    const thought = textOf(reasoningContent.text)
    open.reasoning.text += thought
    open.reasoning.signature += textOf(reasoningContent.signature)
    const { redactedContent } = reasoningContent
    if (redactedContent instanceof Uint8Array) open.reasoning.redacted.push(Buffer.from(redactedContent))
    if (thought !== '') this.#emit({ type: 'reasoning-delta', index: 0, text: thought })
  }

  #input(tool: NonNullable<OpenBlock['tool']>, json: string): void {
    if (json === '') return
    tool.hasDelta = true
    if (tool.toolIndex === undefined) this.#text(json)
    else this.#emit({ type: 'tool-call-delta', index: 0, toolIndex: tool.toolIndex, arguments: json })
  }

  #closeBlock(index: unknown): void {
    const block = this.#blocks.get(index)
    if (!block) return
    this.#blocks.delete(index)
    const { tool, reasoning } = block
    if (tool?.input && !tool.hasDelta) this.#input(tool, JSON.stringify(tool.input))
    if (!reasoning) return
    const { text: thinking, signature, redacted } = reasoning
    if (redacted.length > 0) this.#keep({ type: 'redacted_thinking', data: Buffer.concat(redacted).toString('base64') })
    if (signature !== '') this.#keep({ type: 'thinking', thinking, signature })
  }

  /** Whole, so that whoever collects the answer has them as they must go back. */
  #keep(block: JsonObject): void {
    this.#emit({ type: 'message-extra', index: 0, members: { thinking_blocks: [block] } })
  }

  #text(text: string): void {
    if (text !== '') this.#emit({ type: 'text-delta', index: 0, text })
  }

  #count(usage: unknown, serviceTier: unknown): void {
    if (!isRecord(usage)) return
    const reading = readBedrockUsage(usage, serviceTier)
    if (reading && 'usage' in reading) this.facts.usage = reading.usage
    else if (reading) this.facts.implausibleUsage = reading.implausible
  }

  #emit(event: ChatEvent): void {
    this.#start()
    this.#events.push(event)
    if ('text' in event) this.facts.outputBytes += Buffer.byteLength(event.text)
    else if (event.type === 'tool-call-delta') this.facts.outputBytes += Buffer.byteLength(event.arguments)
  }
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

/** A whole block as the delta that would have said it. */
function deltaOf({ text, reasoningContent }: JsonObject): JsonObject {
  const { reasoningText, redactedContent } = recordOr(reasoningContent)
  return {
    text,
    ...(reasoningContent !== undefined && { reasoningContent: { ...recordOr(reasoningText), redactedContent } }),
  }
}

const ordinaryEnds: readonly string[] = ['end_turn', 'stop_sequence', 'tool_use']

const isOdd = (stopReason: string, reason: FinishReason): boolean =>
  (reason === 'stop' || reason === 'tool_calls') && !ordinaryEnds.includes(stopReason)

/** Agents go on calling tools only when they are told so. */
function finishReasonOf(stopReason: string, hasCalls: boolean): FinishReason {
  switch (stopReason) {
    case 'max_tokens':
    case 'model_context_window_exceeded':
      return 'length'
    case 'guardrail_intervened':
    case 'content_filtered':
      return 'content_filter'
    default:
      return hasCalls ? 'tool_calls' : 'stop'
  }
}
