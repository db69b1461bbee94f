import { Metadata, type StatusObject } from '@grpc/grpc-js'
import protobuf from 'protobufjs/minimal.js'
import type { AnswerRecording } from '../../core/idempotency/answer-recording.ts'
import type { StoredAnswer } from '../../core/idempotency/stored-answer.ts'

/** Tells stored answers of this door from those of others. */
const contentType = 'application/grpc+proto'
const headBytes = 5
const kinds = { message: 0, status: 1 } as const

/** Keeps the messages of an answer, and the status that it ends with, each behind its kind and its length. */
export class MessageRecording {
  readonly #recording: AnswerRecording

  constructor(recording: AnswerRecording) {
    this.#recording = recording
    recording.start(200, contentType)
  }

  message(bytes: Buffer): void {
    this.#piece(kinds.message, bytes)
  }

  /** @param failure - undefined for a whole answer */
  end(failure: StatusObject | undefined): void {
    const [details] = failure?.metadata.get('grpc-status-details-bin') ?? []
    if (Buffer.isBuffer(details)) this.#piece(kinds.status, details)
    this.#recording.end()
  }

  #piece(kind: number, bytes: Buffer): void {
    const head = Buffer.allocUnsafe(headBytes)
    head.writeUInt8(kind, 0)
    head.writeUInt32BE(bytes.length, 1)
    this.#recording.bytes(head)
    this.#recording.bytes(bytes)
  }
}

export interface RecordedAnswer {
  messages: readonly Buffer[]
  /** Undefined when it ended well. */
  failure: StatusObject | undefined
}

/** @param answer - as it was recorded here: an idempotency key has one method, so no other door's comes */
export function recordedAnswer({ body }: StoredAnswer): RecordedAnswer {
  const messages: Buffer[] = []
  let failure: StatusObject | undefined
  for (let at = 0; at < body.length; ) {
    const start = at + headBytes
    const end = start + body.readUInt32BE(at + 1)
    const piece = body.subarray(start, end)
    if (body[at] === kinds.status) failure = statusOf(piece)
    else messages.push(piece)
    at = end
  }
  return { messages, failure }
}

function statusOf(bytes: Buffer): StatusObject {
  const reader = protobuf.Reader.create(bytes)
  let code = 2
  let details = ''
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (tag === 8) code = reader.int32()
    else if (tag === 18) details = reader.string()
    else reader.skipType(tag & 7)
  }
  const metadata = new Metadata()
  metadata.set('grpc-status-details-bin', bytes)
  // With this key it would be the same again.
  metadata.set('grpc-retry-pushback-ms', '-1')
  return { code, details, metadata }
}
