import { randomBytes } from 'node:crypto'
import type { ChatEvent, FinishReason } from '../../chat/event.ts'
import { type AnswerFacts, noFacts } from '../answer-reader.ts'
import { malformedFailure } from '../failures.ts'
import { isRecord, nonEmptyString } from '../json.ts'
import { inStreamFailure } from '../openai/errors.ts'
import { readOpenAiUsage } from '../openai/usage.ts'
import type { ExchangeFailure } from '../provider.ts'
import { ToolCalls } from './tool-calls.ts'
import { extraMembers, finishFrom, piecesOf, reasoningOf } from './wire.ts'

export interface CompletionOptions {
  /** Replaced wherever the provider echoes it in an error. */
  credential?: string | undefined
  /** For tool calls that come without an id of their own. */
  newCallId?: () => string
}

/** What one choice has been so far. */
interface Choice {
  calls: ToolCalls
  /** Said by the upstream; undefined until then. */
  finish: FinishReason | undefined
  hasOutput: boolean
  /** Came in `delta`: a `message` beside or after that repeats it. */
  hasDelta: boolean
  hasLegacyCall: boolean
}

const choicesMax = 128

/**
 * Chunks or whole completions of OpenAI-like peers, as canonical events. What ends a choice is held back until the
 * answer has ended: some name a finish reason in every chunk, or `stop` before the tool call comes.
 */
export class CompletionEvents {
  readonly facts: AnswerFacts = noFacts()
  readonly #credential: string | undefined
  readonly #newCallId: () => string
  #events: ChatEvent[] = []
  #started = false
  #id: string | undefined
  #model: string | undefined
  #createdS: number | undefined
  readonly #earlyExtra: Record<string, unknown> = {}
  readonly #lateExtra = new Map<string, unknown>()
  readonly #choices = new Map<number, Choice>()
  readonly #callIds = new Set<string>()
  #reportedUsage: Record<string, unknown> | undefined

  constructor({ credential, newCallId = randomCallId }: CompletionOptions) {
    this.#credential = credential
    this.#newCallId = newCallId
  }

  /** The events since the last time. */
  taken(): ChatEvent[] {
    const events = this.#events
    this.#events = []
    return events
  }

  /** @param answer - a parsed chunk or completion, or several in an array, as Google wraps errors */
  take(answer: unknown): ExchangeFailure | undefined {
    if (!Array.isArray(answer)) return this.#take(answer)
    for (const one of answer) {
      const failure = this.#take(one)
      if (failure) return failure
    }
    return undefined
  }

  /** Of a chunk that says nothing else that an earlier one has not said. */
  takeText(delta: Extract<ChatEvent, { type: 'text-delta' }>): void {
    this.#emit(delta)
  }

  /** The events that have not been taken yet. */
  get pending(): readonly ChatEvent[] {
    return this.#events
  }

  get hasChoices(): boolean {
    return this.#choices.size > 0
  }

  get hasFinished(): boolean {
    if (this.#choices.size === 0) return false
    for (const { finish } of this.#choices.values()) if (!finish) return false
    return true
  }

  /** The answer has ended properly: what was held back comes now, and what was never said is derived. */
  finish(): ExchangeFailure | undefined {
    if (this.#choices.size === 0) return malformedFailure('there are no choices in it')
    const indexes = [...this.#choices.keys()].sort((a, b) => a - b)
    const choices = indexes.map((index) => this.#choices.get(index) as Choice)
    if (!choices.every(({ calls }) => calls.finish())) return malformedFailure('a tool call has no name')
    if (choices.every(({ finish, hasOutput }) => !finish && !hasOutput)) return malformedFailure('it is empty')
    this.#emitLateExtra()
    for (const [at, choice] of choices.entries()) {
      const reason = reasonOf(choice)
      this.facts.finish ??= reason
      this.#emit({ type: 'choice-end', index: indexes[at] as number, reason })
    }
    const { usage } = this.facts
    if (usage) this.#emit({ type: 'usage', usage, ...(this.#reportedUsage && { reported: this.#reportedUsage }) })
    return undefined
  }

  #take(answer: unknown): ExchangeFailure | undefined {
    if (!isRecord(answer)) return malformedFailure('it is no object')
    const error = errorOf(answer)
    if (error !== undefined) return inStreamFailure(error, this.#credential)
    this.#takeHead(answer)
    const choices = Array.isArray(answer.choices) ? answer.choices : []
    for (let at = 0; at < choices.length; at++) {
      const failure = this.#takeChoice(choices[at], at)
      if (failure) return failure
    }
    this.#takeUsage(answer, choices[0])
    return undefined
  }

  #takeHead(answer: Record<string, unknown>): void {
    if (this.#id === undefined) {
      this.#id = nonEmptyString(answer.id)
      this.facts.providerResponseId = this.#id
    }
    this.#model ??= nonEmptyString(answer.model)
    this.#createdS ??= secondsOf(answer.created)
    const extra = extraMembers(answer, answerMembers)
    if (!extra) return
    for (const name in extra) {
      const value = extra[name]
      if (!this.#started) this.#earlyExtra[name] = value
      else if (this.#earlyExtra[name] !== value && this.#lateExtra.size < lateMembersMax)
        this.#lateExtra.set(name, value)
    }
  }

  #takeUsage(answer: Record<string, unknown>, firstChoice: unknown): void {
    const groq = isRecord(answer.x_groq) ? answer.x_groq.usage : undefined
    const inChoice = isRecord(firstChoice) ? firstChoice.usage : undefined // Moonshot
    const reported = answer.usage ?? groq ?? inChoice
    const reading = readOpenAiUsage(reported, answer.service_tier ?? this.#earlyExtra.service_tier)
    if (reading && 'usage' in reading) {
      this.facts.usage = reading.usage
      if (isRecord(reported)) this.#reportedUsage = reported
    } else if (reading) {
      this.facts.implausibleUsage = reading.implausible
    }
  }

  #takeChoice(choice: unknown, at: number): ExchangeFailure | undefined {
    if (!isRecord(choice)) return malformedFailure('a choice is no object')
    const index = typeof choice.index === 'number' && choice.index >= 0 ? choice.index : at
    const state = this.#choices.get(index) ?? this.#openChoice(index)
    if (!state) return malformedFailure('it has too many choices')
    const finish = finishFrom(choice.finish_reason)
    if (finish === 'failed' || hasContent(choice.error)) {
      return inStreamFailure(choice.error ?? { message: choice.finish_reason }, this.#credential)
    }
    if (finish) state.finish = finish
    if (isRecord(choice.delta)) {
      state.hasDelta = true
      this.#takeMessage(state, index, choice.delta, choice.logprobs, false)
    } else if (isRecord(choice.message)) {
      if (!state.hasDelta) this.#takeMessage(state, index, choice.message, choice.logprobs, true)
    } else if (typeof choice.text === 'string') {
      this.#takeMessage(state, index, { content: choice.text }, undefined, false)
    }
    return undefined
  }

  #openChoice(index: number): Choice | undefined {
    if (this.#choices.size >= choicesMax) return undefined
    const choice: Choice = {
      calls: new ToolCalls(
        index,
        (id) => this.#uniqueCallId(id),
        (event) => this.#emit(event),
      ),
      finish: undefined,
      hasOutput: false,
      hasDelta: false,
      hasLegacyCall: false,
    }
    this.#choices.set(index, choice)
    return choice
  }

  #takeMessage(
    choice: Choice,
    index: number,
    message: Record<string, unknown>,
    logprobs: unknown,
    whole: boolean,
  ): void {
    const before = this.#events.length
    const reasoning = reasoningOf(message)
    if (reasoning !== '') this.#emit({ type: 'reasoning-delta', index, text: reasoning })
    this.#takeContent(index, message.content, isRecord(logprobs) ? logprobs : undefined)
    const refusal = nonEmptyString(message.refusal)
    if (refusal) this.#emit({ type: 'refusal-delta', index, text: refusal })
    choice.calls.take(message.tool_calls, whole)
    const members = extraMembers(message, messageMembers)
    if (members) {
      this.#emit({ type: 'message-extra', index, members })
      if (isRecord(members.function_call)) this.#takeLegacyCall(choice, members.function_call)
    }
    choice.hasOutput ||= this.#events.length > before
  }

  #takeContent(index: number, content: unknown, logprobs: Record<string, unknown> | undefined): void {
    let withLogprobs = logprobs && { logprobs }
    for (const { kind, text } of piecesOf(content)) {
      switch (kind) {
        case 'text':
          this.#emit({ type: 'text-delta', index, text, ...withLogprobs })
          withLogprobs = undefined
          break
        case 'reasoning':
          this.#emit({ type: 'reasoning-delta', index, text })
          break
        case 'refusal':
          this.#emit({ type: 'refusal-delta', index, text })
      }
    }
    if (withLogprobs) this.#emit({ type: 'text-delta', index, text: '', ...withLogprobs })
  }

  /** The form before tools: passed on as it is to who asked for it, and counted. */
  #takeLegacyCall(choice: Choice, call: Record<string, unknown>): void {
    choice.hasLegacyCall = true
    if (typeof call.arguments === 'string') this.facts.outputBytes += Buffer.byteLength(call.arguments)
  }

  #emitLateExtra(): void {
    const late = [...this.#lateExtra].filter(
      ([name, value]) => JSON.stringify(value) !== JSON.stringify(this.#earlyExtra[name]),
    )
    if (late.length > 0) this.#emit({ type: 'answer-extra', members: Object.fromEntries(late) })
  }

  #emit(event: ChatEvent): void {
    if (!this.#started) {
      this.#started = true
      const extra = Object.keys(this.#earlyExtra).length > 0 ? { extra: this.#earlyExtra } : undefined
      this.#events.push({ type: 'start', id: this.#id, model: this.#model, createdS: this.#createdS, ...extra })
    }
    this.#events.push(event)
    if ('text' in event) this.facts.outputBytes += Buffer.byteLength(event.text)
    else if (event.type === 'tool-call-delta') this.facts.outputBytes += Buffer.byteLength(event.arguments)
  }

  /** The upstream's own id, so that it knows the call again, unless another call has it already. */
  #uniqueCallId(upstreamId: string | undefined): string {
    let id = upstreamId ?? this.#newCallId()
    while (this.#callIds.has(id)) id = this.#newCallId()
    this.#callIds.add(id)
    return id
  }
}

const lateMembersMax = 32

/** `x_groq` holds Groq's usage and request id, `obfuscation` is padding. */
const answerMembers = new Set([
  'id',
  'object',
  'created',
  'model',
  'choices',
  'usage',
  'error',
  'x_groq',
  'obfuscation',
])

const messageMembers = new Set(['role', 'content', 'reasoning_content', 'reasoning', 'refusal', 'tool_calls'])

/** Agents go on calling tools only when they are told so: whatever is said, a choice with calls ended for them. */
function reasonOf({ finish = 'stop', calls, hasLegacyCall }: Choice): FinishReason {
  return finish === 'stop' && (calls.size > 0 || hasLegacyCall) ? 'tool_calls' : finish
}

/** The error in what should have been an answer, or undefined. */
function errorOf(answer: Record<string, unknown>): unknown {
  if (hasContent(answer.error)) return answer.error
  if (isRecord(answer.x_groq) && hasContent(answer.x_groq.error)) return answer.x_groq.error
  const isBareError = answer.object === 'error' || answer.type === 'error' || typeof answer.detail === 'string'
  return isBareError && !Array.isArray(answer.choices) ? answer : undefined
}

const hasContent = (value: unknown): boolean =>
  typeof value === 'string'
    ? value !== ''
    : typeof value === 'object' && value !== null && Object.keys(value).length > 0

/** Some send milliseconds, some fractions. */
function secondsOf(created: unknown): number | undefined {
  if (typeof created !== 'number' || !(created > 0)) return undefined
  return Math.floor(created > 100_000_000_000 ? created / 1_000 : created)
}

const randomCallId = (): string => `call_${randomBytes(12).toString('hex')}`
