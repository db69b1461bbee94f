import { randomBytes } from 'node:crypto'
import type { ChatEvent, FinishReason } from '../../chat/event.ts'
import { type AnswerFacts, noFacts } from '../answer-reader.ts'
import { malformedFailure } from '../failures.ts'
import { isRecord, type JsonObject, nonEmptyString, recordOr, recordsIn } from '../json.ts'
import type { ExchangeFailure } from '../provider.ts'
import { geminiStreamFailure } from './errors.ts'
import { openAiLogprobs } from './logprobs.ts'
import { PartialArguments } from './partial-arguments.ts'
import { readGeminiUsage } from './usage.ts'

export interface ContentOptions {
  /** Replaced wherever it is echoed in an error. */
  credential: string | undefined
  /** For function calls that come without an id of their own. */
  newCallId?: () => string
}

interface Candidate {
  callCount: number
  /** Said by the upstream; undefined until then. */
  finish: string | undefined
  /** A call whose arguments come in pieces, and are not complete. */
  open: { toolIndex: number; args: PartialArguments } | undefined
}

const candidatesMax = 128

/**
 * Answers of `generateContent`, whole or in chunks, as canonical events. What ends a candidate is held back until the
 * answer has ended: the reason may come in another chunk than the call that decides what it means.
 *
 * https://ai.google.dev/api/generate-content#GenerateContentResponse
 */
export class ContentEvents {
  readonly facts: AnswerFacts = noFacts()
  readonly #credential: string | undefined
  readonly #newCallId: () => string
  #events: ChatEvent[] = []
  #started = false
  readonly #candidates = new Map<number, Candidate>()
  readonly #callIds = new Set<string>()
  #blocked: string | undefined

  constructor({ credential, newCallId = randomCallId }: ContentOptions) {
    this.#credential = credential
    this.#newCallId = newCallId
  }

  /** The events since the last time. */
  taken(): ChatEvent[] {
    const events = this.#events
    this.#events = []
    return events
  }

  /** Every candidate has said why it ended, or the prompt was blocked. */
  get hasFinished(): boolean {
    if (this.#blocked !== undefined) return true
    for (const { finish } of this.#candidates.values()) if (finish === undefined) return false
    return this.#candidates.size > 0
  }

  get isEmpty(): boolean {
    return this.#candidates.size === 0 && this.#blocked === undefined
  }

  /** @param chunk - an answer, one piece of a streamed one, or several in a list */
  take(chunk: unknown): ExchangeFailure | undefined {
    if (Array.isArray(chunk)) {
      for (const one of chunk) {
        const failure = this.take(one)
        if (failure) return failure
      }
      return undefined
    }
    if (!isRecord(chunk)) return malformedFailure('it is no object')
    if (chunk.error !== undefined && chunk.error !== null) return geminiStreamFailure(chunk.error, this.#credential)
    this.#takeHead(chunk)
    for (const [at, candidate] of recordsIn(chunk.candidates).entries()) {
      const index = typeof candidate.index === 'number' && candidate.index >= 0 ? candidate.index : at
      const state = this.#candidateAt(index)
      if (!state) return malformedFailure('it has too many candidates')
      this.#takeCandidate(state, index, candidate)
    }
    const { blockReason, blockReasonMessage } = recordOr(chunk.promptFeedback)
    if (nonEmptyString(blockReason)) {
      this.#blocked = nonEmptyString(blockReasonMessage) ?? `The prompt was blocked: ${blockReason}.`
    }
    if (isRecord(chunk.usageMetadata)) this.#takeUsage(chunk.usageMetadata)
    return undefined
  }

  /** The answer has ended properly: what was held back comes now. */
  finish(): ExchangeFailure | undefined {
    if (this.isEmpty) return malformedFailure('there are no candidates in it')
    if (this.#candidates.size === 0) {
      this.#emit({ type: 'refusal-delta', index: 0, text: this.#blocked as string })
      this.#emit({ type: 'choice-end', index: 0, reason: 'content_filter' })
      this.facts.finish = 'content_filter'
    }
    const inOrder = [...this.#candidates].sort(([a], [b]) => a - b)
    for (const [index, candidate] of inOrder) {
      this.#closeCall(candidate, index)
      const reason = finishReasonOf(candidate.finish, candidate.callCount > 0)
      this.facts.finish ??= reason
      if (isOdd(candidate.finish, reason)) this.facts.oddFinish ??= candidate.finish
      this.#emit({ type: 'choice-end', index, reason })
    }
    const { usage } = this.facts
    if (usage) this.#emit({ type: 'usage', usage })
    return undefined
  }

  #takeHead({ responseId, modelVersion, createTime }: JsonObject): void {
    if (this.#started) return
    this.#started = true
    const id = nonEmptyString(responseId)
    const createdMs = Date.parse(String(createTime))
    this.facts.providerResponseId = id
    this.#events.push({
      type: 'start',
      id,
      model: nonEmptyString(modelVersion),
      createdS: createdMs > 0 ? Math.floor(createdMs / 1_000) : undefined,
    })
  }

  #candidateAt(index: number): Candidate | undefined {
    const known = this.#candidates.get(index)
    if (known || this.#candidates.size >= candidatesMax) return known
    const candidate: Candidate = { callCount: 0, finish: undefined, open: undefined }
    this.#candidates.set(index, candidate)
    return candidate
  }

  #takeCandidate(state: Candidate, index: number, { content, finishReason, logprobsResult }: JsonObject): void {
    let logprobs = openAiLogprobs(logprobsResult)
    for (const part of recordsIn(recordOr(content).parts)) {
      const text = nonEmptyString(part.text)
      if (text !== undefined && part.thought === true) {
        this.#emit({ type: 'reasoning-delta', index, text })
      } else if (text !== undefined) {
        this.#emit({ type: 'text-delta', index, text, ...(logprobs && { logprobs }) })
        logprobs = undefined
      } else if (isRecord(part.functionCall)) {
        this.#takeCall(state, index, part.functionCall, part.thoughtSignature)
        continue
      } else if (isRecord(part.inlineData) && part.thought !== true) {
        this.#takeMedia(index, part.inlineData)
      }
      const signature = nonEmptyString(part.thoughtSignature)
      if (signature) this.#emit({ type: 'message-extra', index, members: signed(signature) })
    }
    const reason = nonEmptyString(finishReason)
    if (reason !== undefined && reason !== 'FINISH_REASON_UNSPECIFIED') state.finish = reason
  }

  #takeCall(state: Candidate, index: number, call: JsonObject, thoughtSignature: unknown): void {
    const name = nonEmptyString(call.name)
    if (name === undefined) {
      // The next piece of a call that is under way; one without anything ends it.
      state.open?.args.add(call.partialArgs)
      if (call.willContinue !== true) this.#closeCall(state, index)
      return
    }
    this.#closeCall(state, index)
    const toolIndex = state.callCount++
    const signature = nonEmptyString(thoughtSignature)
    const extra = signature === undefined ? undefined : { extra: signed(signature) }
    this.#emit({ type: 'tool-call-start', index, toolIndex, id: this.#uniqueCallId(call.id), name, ...extra })
    if (call.willContinue === true || call.partialArgs !== undefined) {
      state.open = { toolIndex, args: new PartialArguments() }
      state.open.args.add(call.partialArgs)
      if (call.willContinue !== true) this.#closeCall(state, index)
    } else {
      this.#emitArguments(index, toolIndex, recordOr(call.args))
    }
  }

  #closeCall(state: Candidate, index: number): void {
    if (!state.open) return
    this.#emitArguments(index, state.open.toolIndex, state.open.args.value)
    state.open = undefined
  }

  #emitArguments(index: number, toolIndex: number, args: JsonObject): void {
    this.#emit({ type: 'tool-call-delta', index, toolIndex, arguments: JSON.stringify(args) })
  }

  /** A picture that was made, in the form that clients of other gateways know. */
  #takeMedia(index: number, { mimeType, data }: JsonObject): void {
    if (typeof mimeType !== 'string' || typeof data !== 'string') return
    const image = { type: 'image_url', image_url: { url: `data:${mimeType};base64,${data}` } }
    this.#emit({ type: 'message-extra', index, members: { images: [image] } })
  }

  #takeUsage(usage: JsonObject): void {
    const reading = readGeminiUsage(usage)
    if (reading && 'usage' in reading) this.facts.usage = reading.usage
    else if (reading) this.facts.implausibleUsage = reading.implausible
  }

  /** Gemini's own id, so that it knows the call again, unless another call has it already. */
  #uniqueCallId(given: unknown): string {
    let id = nonEmptyString(given) ?? this.#newCallId()
    while (this.#callIds.has(id)) id = this.#newCallId()
    this.#callIds.add(id)
    return id
  }

  #emit(event: ChatEvent): void {
    this.#events.push(event)
    if ('text' in event) this.facts.outputBytes += Buffer.byteLength(event.text)
    else if (event.type === 'tool-call-delta') this.facts.outputBytes += Buffer.byteLength(event.arguments)
  }
}

const randomCallId = (): string => `call_${randomBytes(12).toString('hex')}`

/** Where Google's own OpenAI-compatible endpoint has it, and looks for it. */
const signed = (thought_signature: string) => ({ extra_content: { google: { thought_signature } } })

const isOdd = (finish: string | undefined, reason: FinishReason): boolean =>
  finish !== undefined && finish !== 'STOP' && (reason === 'stop' || reason === 'tool_calls')

/** Agents go on calling functions only when they are told so, whatever Gemini calls it. */
function finishReasonOf(reason: string | undefined, hasCalls: boolean): FinishReason {
  switch (reason) {
    case 'MAX_TOKENS':
      return 'length'
    case 'SAFETY':
    case 'RECITATION':
    case 'BLOCKLIST':
    case 'PROHIBITED_CONTENT':
    case 'SPII':
    case 'MODEL_ARMOR':
    case 'LANGUAGE':
    case 'IMAGE_SAFETY':
    case 'IMAGE_PROHIBITED_CONTENT':
    case 'IMAGE_RECITATION':
      return 'content_filter'
    default:
      return hasCalls ? 'tool_calls' : 'stop'
  }
}
