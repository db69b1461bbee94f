import type { Metadata, ServerUnaryCall, StatusObject, sendUnaryData } from '@grpc/grpc-js'
import { CollectedAnswer } from '../../core/chat/collected-answer.ts'
import type { ChatEvent } from '../../core/chat/event.ts'
import type { Operation } from '../../core/inference/call.ts'
import type { UsageEnd } from '../../core/usage/usage-record.ts'
import { completeResponse } from './complete-response.ts'
import { embedResponse } from './embed-response.ts'
import { OpenCall, type OpenCallDeps } from './open-call.ts'

/** An answer in one message: of `Complete`, put together from events, or of `Embed`, made from OpenAI's form. */
export class UnaryAnswer extends OpenCall {
  readonly isStream = false
  readonly #collected = new CollectedAnswer()
  readonly #operation: Operation
  readonly #done: sendUnaryData<unknown>

  constructor(
    call: ServerUnaryCall<unknown, unknown>,
    operation: Operation,
    deps: OpenCallDeps,
    done: sendUnaryData<unknown>,
  ) {
    super(call, deps)
    this.#operation = operation
    this.#done = done
  }

  event(event: ChatEvent): boolean {
    this.#collected.add(event)
    return true
  }

  onceDrained(resume: () => void): void {
    resume()
  }

  protected isWaiting(): boolean {
    return false
  }

  protected opened(): void {}

  protected lastMessage(tail: Buffer | undefined, record: UsageEnd): Buffer {
    const { requestedModel, serialize } = this.deps
    return serialize(
      this.#operation === 'chat'
        ? completeResponse(this.#collected, record, requestedModel)
        : embedResponse(tail ?? Buffer.alloc(0), record, requestedModel),
    )
  }

  protected repeat(): void {}

  protected finish(last: Buffer, trailer: Metadata): void {
    this.#done(null, last, trailer)
  }

  protected finishWith(failure: StatusObject): void {
    this.#done(failure)
  }
}
