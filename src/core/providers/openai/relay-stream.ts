import { type AnswerFacts, type AnswerReader, finishReasonFrom, noFacts } from '../answer-reader.ts'
import { cutFailure, malformedFailure } from '../failures.ts'
import { isRecord } from '../json.ts'
import type { AttemptOutput, ExchangeFailure } from '../provider.ts'
import { inStreamFailure } from './errors.ts'
import { PlainTextFrame } from './plain-text-frame.ts'
import { readOpenAiUsage } from './usage.ts'

/** One SSE line, and with it one frame, may be this long; an upstream that sends more is broken. */
const frameBytesMax = 1024 * 1024

const doneFrame = Buffer.from('data: [DONE]\n\n')

/** What frames that need a look have in them: usage, the end of a choice, an error, the end of the stream. */
const notable = /_tokens"|"finish_reason"\s*:\s*"|"error"|\[DONE\]/

/** Puts the few chunks right that would make a strict client stumble. */
export interface ChunkMender {
  /** Whether a frame that accounting need not look at has to be looked at for this. */
  isDue(frame: string): boolean
  /** @returns undefined to pass the chunk on as it came, `drop` to keep it from the caller, or what to send instead */
  mended(chunk: Record<string, unknown>): 'drop' | object | undefined
}

/**
 * Passes an SSE answer on byte by byte, whole frames at a time, and picks out on the side what accounting needs.
 * Only three things are kept from the caller: the usage frame nobody asked for, the last `[DONE]` (it is sent once the
 * call is settled), and half a frame at a cut.
 *
 * Frames are parsed until the first output has been seen. Later ones that differ from it in nothing but their text, as
 * nearly all do, are passed by; only what else looks notable is parsed. The cost of a chunk is one walk over the ends of
 * its frames and one write.
 */
export class RelayStream implements AnswerReader {
  readonly facts: AnswerFacts = noFacts()
  keepsUp = true
  readonly #output: AttemptOutput
  readonly #showUsage: boolean
  #partial: Buffer[] = []
  #partialBytes = 0
  #outputStarted = false
  #plainText: PlainTextFrame | undefined
  readonly #credential: string | undefined
  readonly #mender: ChunkMender | undefined
  #done: Buffer | undefined

  /** @param credential - replaced wherever the provider echoes it in an error */
  constructor(output: AttemptOutput, showUsage: boolean, credential?: string, mender?: ChunkMender) {
    this.#output = output
    this.#showUsage = showUsage
    this.#credential = credential
    this.#mender = mender
  }

  push(chunk: Buffer): ExchangeFailure | undefined {
    // A chunk of which nothing is passed on must not ask for a pause: no write would be there to end it.
    this.keepsUp = true
    if (this.#done) return undefined
    const data = this.#join(chunk)
    const end = data ? endOfLastFrame(data) : 0
    if (data && end < data.length) this.#keepPartial(end === 0 ? data : data.subarray(end))
    // Lines without end, and short lines without a blank one between them.
    if (this.#partialBytes > frameBytesMax) return malformedFailure('a frame of more than 1 MiB')
    return data && end > 0 ? this.#pass(end === data.length ? data : data.subarray(0, end)) : undefined
  }

  finish(): { failure: ExchangeFailure | undefined; tail: Buffer | undefined } {
    if (this.#partialBytes > 0 && !this.#done) {
      // The last frame of a stream may lack its blank line; half a frame does not parse, and is not passed on.
      const last = Buffer.concat([...this.#partial, Buffer.from('\n\n')])
      const failure = isWhole(dataOf(last.toString('utf8'))) ? this.#pass(last) : cutFailure()
      if (failure) return { failure: failure.kind === 'malformed' ? cutFailure() : failure, tail: undefined }
    }
    if (!this.#done && !this.facts.finish) return { failure: cutFailure(), tail: undefined }
    if (!this.#outputStarted && !this.facts.finish) {
      return { failure: malformedFailure('a stream with nothing in it'), tail: undefined }
    }
    return { failure: undefined, tail: this.#done ?? doneFrame }
  }

  /** @returns the bytes from the last frame boundary on, or undefined while the chunk cannot complete a frame */
  #join(chunk: Buffer): Buffer | undefined {
    if (this.#partialBytes === 0) return chunk
    if (!chunk.includes(0x0a)) {
      this.#keepPartial(chunk)
      return undefined
    }
    const data = Buffer.concat([...this.#partial, chunk])
    this.#partial = []
    this.#partialBytes = 0
    return data
  }

  #keepPartial(bytes: Buffer): void {
    this.#partial.push(bytes)
    this.#partialBytes += bytes.length
  }

  /** Looks at the frames that need it, and passes on the runs of frames that the caller may have. */
  #pass(frames: Buffer): ExchangeFailure | undefined {
    let runStart = 0
    for (let start = 0, end = 0; start < frames.length; start = end) {
      end = this.#plainText?.end(frames, start) ?? -1
      if (end !== -1) {
        this.#countOutput(end - start)
        continue
      }
      end = endOfFrame(frames, start)
      const verdict = this.#look(frames.subarray(start, end))
      if (verdict === 'pass') continue
      this.#passRun(frames, runStart, start)
      runStart = end
      if (verdict === 'done') {
        this.#done = frames.subarray(start, end)
        return undefined
      }
      if (Buffer.isBuffer(verdict)) this.#passRun(verdict, 0, verdict.length)
      else if (verdict !== 'drop') return verdict
    }
    this.#passRun(frames, runStart, frames.length)
    return undefined
  }

  #passRun(frames: Buffer, start: number, end: number): void {
    if (start === end) return
    const run = end - start === frames.length ? frames : frames.subarray(start, end)
    this.keepsUp = this.#output.bytes(run, this.#outputStarted)
  }

  /** Of a frame that was not parsed. */
  #countOutput(frameBytes: number): void {
    this.facts.outputBytes += Math.max(0, frameBytes - (this.#plainText?.overheadBytes ?? 0))
  }

  /** @returns the frame to send instead, where it had to be mended */
  #look(frame: Buffer): 'pass' | 'drop' | 'done' | Buffer | ExchangeFailure {
    if (this.#plainText) {
      const text = frame.toString('latin1')
      if (!notable.test(text) && !this.#mender?.isDue(text)) {
        this.#countOutput(frame.length)
        return 'pass'
      }
    }
    const data = dataOf(frame.toString('utf8'))
    if (data === undefined) return 'pass'
    if (data === '[DONE]') return 'done'
    let chunk: unknown
    try {
      chunk = JSON.parse(data)
    } catch {
      return malformedFailure('a frame that is not JSON')
    }
    const verdict = this.#lookAtChunk(chunk, frame)
    const mended = verdict === 'pass' ? this.#mender?.mended(chunk as Record<string, unknown>) : undefined
    if (mended === undefined || mended === 'drop') return mended ?? verdict
    return Buffer.from(`data: ${JSON.stringify(mended)}\n\n`)
  }

  #lookAtChunk(chunk: unknown, frame: Buffer): 'pass' | 'drop' | ExchangeFailure {
    if (!isRecord(chunk)) return malformedFailure('a frame that is not an object')
    if (chunk.error !== undefined && chunk.error !== null) return inStreamFailure(chunk.error, this.#credential)
    const { facts } = this
    if (typeof chunk.id === 'string' && chunk.id !== '') facts.providerResponseId ??= chunk.id
    const choices = Array.isArray(chunk.choices) ? chunk.choices : []
    let outputBytes = 0
    for (const choice of choices) {
      if (!isRecord(choice)) continue
      if (typeof choice.finish_reason === 'string') facts.finish = finishReasonFrom(choice.finish_reason)
      outputBytes += outputBytesOf(choice.delta)
    }
    facts.outputBytes += outputBytes
    if (outputBytes > 0 && !this.#outputStarted) {
      this.#outputStarted = true
      this.#plainText = new PlainTextFrame(frame, frame.length - outputBytes)
    }
    const usage = readOpenAiUsage(chunk.usage, chunk.service_tier)
    if (!usage) return 'pass'
    if ('usage' in usage) facts.usage = usage.usage
    else facts.implausibleUsage = usage.implausible
    return choices.length === 0 && !this.#showUsage ? 'drop' : 'pass'
  }
}

/**
 * UTF-8 bytes of everything a model wrote into a delta or message: all its strings but those that only name things.
 * Fields we have never heard of count, too: a provider bills them.
 */
export function outputBytesOf(value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value)
  if (Array.isArray(value)) return value.reduce((sum: number, item) => sum + outputBytesOf(item), 0)
  if (!isRecord(value)) return 0
  let bytes = 0
  for (const name in value) if (!labels.has(name)) bytes += outputBytesOf(value[name])
  return bytes
}

const labels = new Set(['role', 'id', 'type', 'object', 'index', 'signature', 'expires_at'])

function dataOf(frame: string): string | undefined {
  let data: string | undefined
  for (const line of frame.split(/\r\n|\n|\r/)) {
    if (!line.startsWith('data:')) continue
    const value = line.startsWith('data: ') ? line.slice(6) : line.slice(5)
    data = data === undefined ? value : `${data}\n${value}`
  }
  return data?.trim()
}

/** @param data - of what may be half a frame; undefined when it has none yet */
function isWhole(data: string | undefined): boolean {
  if (data === undefined || data === '[DONE]') return true
  try {
    JSON.parse(data)
    return true
  } catch {
    return false
  }
}

/** @returns the index after the blank line that ends the last whole frame, or 0 */
function endOfLastFrame(data: Buffer): number {
  const { length } = data
  if (data[length - 1] === 0x0a && (data[length - 2] === 0x0a || isCrLfCrLf(data, length))) return length
  const lf = data.lastIndexOf('\n\n')
  const crLf = data.lastIndexOf('\r\n\r\n')
  return Math.max(lf === -1 ? 0 : lf + 2, crLf === -1 ? 0 : crLf + 4)
}

const isCrLfCrLf = (data: Buffer, end: number): boolean =>
  data[end - 2] === 0x0d && data[end - 3] === 0x0a && data[end - 4] === 0x0d

/** @returns the index after the blank line that ends the frame, or the length of the bytes when there is none */
function endOfFrame(frames: Buffer, start: number): number {
  const lf = frames.indexOf('\n\n', start)
  const end = lf === -1 ? frames.length : lf + 2
  // Almost nobody ends lines with CRLF: what is searched for it is one frame and not all that follow.
  const crLf = frames.subarray(start, end).indexOf('\n\r\n')
  return crLf === -1 ? end : start + crLf + 3
}
