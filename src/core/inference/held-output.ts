import { type ChatEvent, isOutput } from '../chat/event.ts'
import type { AttemptOutput, AttemptProgress } from '../providers/provider.ts'
import type { UsageEnd } from '../usage/usage-record.ts'
import type { AnswerHead, AnswerSink } from './call.ts'

/** What one attempt may send before its first output; more than this commits it. */
const heldBytesMax = 64 * 1024
const heldPiecesMax = 256

/**
 * Holds back what comes before the first output (role-only frames, pings), so that another provider may still answer.
 * Passing the first output on is the point of no return.
 */
export class HeldOutput implements AttemptOutput {
  committed = false
  /** When the first output was passed on, by the monotonic clock. */
  firstOutputMs: number | undefined
  readonly #sink: AnswerSink
  readonly #head: (form: AnswerHead['form']) => AnswerHead
  readonly #nowMs: () => number
  #held: (Buffer | ChatEvent)[] = []
  #heldBytes = 0
  #form: AnswerHead['form'] = 'openai-bytes'
  #progress: AttemptProgress | undefined

  constructor(sink: AnswerSink, head: (form: AnswerHead['form']) => AnswerHead, nowMs: () => number) {
    this.#sink = sink
    this.#head = head
    this.#nowMs = nowMs
  }

  bytes(frames: Buffer, isFramesOutput: boolean): boolean {
    if (this.committed) return this.#sink.bytes(frames)
    this.#held.push(frames)
    this.#heldBytes += frames.length
    return isFramesOutput || this.#holdsEnough() ? this.#commit() : true
  }

  event(event: ChatEvent): boolean {
    if (this.committed) return this.#sink.event(event)
    this.#form = 'events'
    this.#held.push(event)
    return isOutput(event) || this.#holdsEnough() ? this.#commit() : true
  }

  onceDrained(resume: () => void): void {
    this.#sink.onceDrained(resume)
  }

  follow(progress: AttemptProgress): void {
    this.#progress = progress
  }

  /** Bytes of output that this attempt has received so far. */
  get outputBytes(): number {
    return this.#progress?.outputBytes ?? 0
  }

  /** The answer is whole and settled. */
  end(tail: Buffer | undefined, record: UsageEnd): void {
    if (!this.committed) this.#commit()
    this.#sink.end(tail, record)
  }

  #holdsEnough(): boolean {
    return this.#heldBytes > heldBytesMax || this.#held.length > heldPiecesMax
  }

  #commit(): boolean {
    this.committed = true
    this.firstOutputMs = this.#nowMs()
    this.#sink.open(this.#head(this.#form))
    let keepsUp = true
    for (const piece of this.#held) {
      keepsUp = Buffer.isBuffer(piece) ? this.#sink.bytes(piece) : this.#sink.event(piece)
    }
    this.#held = []
    return keepsUp
  }
}
