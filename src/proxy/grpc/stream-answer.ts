import type { Metadata, ServerWritableStream, StatusObject } from '@grpc/grpc-js'
import type { ChatEvent, ExtraMembers } from '../../core/chat/event.ts'
import { unreachable } from '../../core/errors.ts'
import type { AnswerHead } from '../../core/inference/call.ts'
import type { UsageEnd } from '../../core/usage/usage-record.ts'
import type { StreamResponse } from '../../generated/proto/thinkpixel/llmgw/v1/StreamResponse.ts'
import { secondsOf } from '../answer-identity.ts'
import { callSummary, wireUsage } from './call-summary.ts'
import { finishReasons } from './complete-response.ts'
import { OpenCall, type OpenCallDeps } from './open-call.ts'
import { toStruct } from './struct.ts'
import { encodeTextEvent } from './text-event.ts'

/** An answer as a stream of typed events, each written as soon as it is there. */
export class StreamAnswer extends OpenCall {
  readonly isStream = true
  readonly #call: ServerWritableStream<unknown, unknown>
  /** By choice that has begun: the calls that have no arguments yet. */
  readonly #choices = new Map<number, Set<number>>()
  #provider = ''

  constructor(call: ServerWritableStream<unknown, unknown>, deps: OpenCallDeps) {
    super(call, deps)
    this.#call = call
  }

  event(event: ChatEvent): boolean {
    switch (event.type) {
      case 'start':
        return this.#start(event)
      case 'text-delta': {
        const { index, text, logprobs } = event
        this.#begin(index)
        if (logprobs === undefined) return this.#write(encodeTextEvent(index, text))
        return this.#send({ text: { index, text, logprobs: toStruct(logprobs as ExtraMembers) } })
      }
      case 'reasoning-delta':
        this.#begin(event.index)
        return this.#send({ reasoning: { index: event.index, text: event.text } })
      case 'refusal-delta':
        this.#begin(event.index)
        return this.#send({ refusal: { index: event.index, text: event.text } })
      case 'tool-call-start': {
        const { index, toolIndex, id, name, extra } = event
        this.#begin(index).add(toolIndex)
        return this.#send({ toolCallStart: { index, toolIndex, id, name, extra: extra ? toStruct(extra) : null } })
      }
      case 'tool-call-delta': {
        const { index, toolIndex, arguments: text } = event
        if (text.trim() !== '') this.#begin(index).delete(toolIndex)
        return this.#arguments(index, toolIndex, text)
      }
      case 'message-extra':
        this.#begin(event.index)
        return this.#send({ extra: { index: event.index, members: toStruct(event.members) } })
      case 'answer-extra':
        return this.#send({ extra: { members: toStruct(event.members) } })
      case 'choice-end': {
        const { index, reason } = event
        const withoutArguments = this.#begin(index)
        // A call without arguments must still parse; one that was cut off must not be made to look whole.
        if (reason !== 'length') for (const toolIndex of withoutArguments) this.#arguments(index, toolIndex, '{}')
        return this.#send({ choiceEnd: { index, finishReason: finishReasons[reason] } })
      }
      case 'usage':
        return this.#send({ usage: { usage: wireUsage(event.usage) } })
      default:
        return unreachable(event)
    }
  }

  onceDrained(resume: () => void): void {
    if (this.isClosed) return
    if (this.#call.writableNeedDrain) this.#call.once('drain', resume)
    else resume()
  }

  protected isWaiting(): boolean {
    return this.#call.writableNeedDrain
  }

  protected opened({ provider }: AnswerHead): void {
    this.#provider = provider
  }

  protected lastMessage(_tail: Buffer | undefined, record: UsageEnd): Buffer {
    return this.deps.serialize({ end: { summary: callSummary(record) } } satisfies StreamResponse)
  }

  protected repeat(message: Buffer): void {
    this.#call.write(message)
  }

  protected finish(last: Buffer, trailer: Metadata): void {
    this.#call.write(last)
    this.#call.end(trailer)
  }

  protected finishWith(failure: StatusObject): void {
    // The way grpc-js is told the status of a stream.
    this.#call.emit('error', failure)
  }

  #start({ id, model, createdS, extra }: Extract<ChatEvent, { type: 'start' }>): boolean {
    const { requestId, requestedModel } = this.deps
    const keepsUp = this.#send({
      start: {
        requestId,
        provider: this.#provider,
        id: id ?? `chatcmpl-${requestId}`,
        model: model ?? requestedModel,
        createTime: { seconds: createdS ?? secondsOf(requestId) },
      },
    })
    return extra ? this.#send({ extra: { members: toStruct(extra) } }) : keepsUp
  }

  /** @returns the choice's calls without arguments */
  #begin(index: number): Set<number> {
    let choice = this.#choices.get(index)
    if (!choice) {
      choice = new Set()
      this.#choices.set(index, choice)
      this.#send({ role: { index, role: 'ROLE_ASSISTANT' } })
    }
    return choice
  }

  #arguments(index: number, toolIndex: number, text: string): boolean {
    return this.#send({ toolCallArguments: { index, toolIndex, arguments: text } })
  }

  #send(message: StreamResponse): boolean {
    return this.#write(this.deps.serialize(message))
  }

  #write(bytes: Buffer): boolean {
    this.lastWriteMs = this.deps.nowMs()
    this.recordMessage(bytes)
    return this.isClosed || this.#call.write(bytes)
  }
}
