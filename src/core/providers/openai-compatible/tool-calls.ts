import type { ChatEvent, ExtraMembers } from '../../chat/event.ts'
import { isRecord, nonEmptyString } from '../json.ts'
import { extraMembers } from './wire.ts'

interface OpenCall {
  toolIndex: number
  upstreamId: string | undefined
  name: string | undefined
  extra: ExtraMembers | undefined
  /** Passed on: its name is known. */
  started: boolean
  /** Arguments so far, as far as they are kept. */
  arguments: string
}

/** Arguments are kept up to here to tell a repeated name from another call; longer ones are taken for unfinished. */
const argumentsKeptMax = 64 * 1024

/**
 * The tool calls of one choice, put together from what peers make of OpenAI's deltas: without index, without id, with
 * an empty or repeated name, whole, in any order, several under one index.
 */
export class ToolCalls {
  readonly #choice: number
  readonly #uniqueId: (upstreamId: string | undefined) => string
  readonly #emit: (event: ChatEvent) => void
  readonly #calls: OpenCall[] = []
  readonly #byIndex = new Map<number, OpenCall>()

  /** @param uniqueId - the upstream's id where no other call has it, else one of ours */
  constructor(choice: number, uniqueId: (upstreamId: string | undefined) => string, emit: (event: ChatEvent) => void) {
    this.#choice = choice
    this.#uniqueId = uniqueId
    this.#emit = emit
  }

  get size(): number {
    return this.#calls.length
  }

  /** @param whole - the list of a message, where each entry is a call of its own, not of a delta */
  take(list: unknown, whole: boolean): void {
    if (!Array.isArray(list)) return
    const calls = this.#calls.length
    for (const entry of list) {
      if (isRecord(entry)) this.#takeEntry(entry, whole, calls)
    }
  }

  /** @returns false when a call never got a name, and so is none that anybody could make */
  finish(): boolean {
    return this.#calls.every((call) => call.started || call.arguments === '')
  }

  #takeEntry(entry: Record<string, unknown>, whole: boolean, callsBefore: number): void {
    const called = isRecord(entry.function) ? entry.function : {}
    const id = nonEmptyString(entry.id)
    const name = nonEmptyString(called.name)
    const text = argumentsOf(called.arguments)
    if (id === undefined && name === undefined && text === '') return
    const index = typeof entry.index === 'number' ? entry.index : undefined
    const open = whole ? undefined : this.#find(index, id, name, text)
    const isAnother = open === undefined || startsAnother(open, index, id, name, callsBefore)
    const call = isAnother ? this.#open(index) : open
    call.upstreamId ??= id
    call.name ??= name
    if (!call.started) call.extra ??= extraMembers(entry, knownMembers)
    this.#grow(call, text)
  }

  #find(
    index: number | undefined,
    id: string | undefined,
    name: string | undefined,
    text: string,
  ): OpenCall | undefined {
    if (index !== undefined) return this.#byIndex.get(index)
    const last = this.#calls[this.#calls.length - 1]
    if (id === undefined) return last
    const known = this.#calls.find((call) => call.upstreamId === id)
    // Some change the id with each delta: what has arguments and no name goes on with the last call.
    return known ?? (name === undefined && text !== '' ? last : undefined)
  }

  #open(index: number | undefined): OpenCall {
    const call: OpenCall = {
      toolIndex: this.#calls.length,
      upstreamId: undefined,
      name: undefined,
      extra: undefined,
      started: false,
      arguments: '',
    }
    this.#calls.push(call)
    if (index !== undefined) this.#byIndex.set(index, call)
    return call
  }

  #grow(call: OpenCall, text: string): void {
    const { toolIndex, name, extra } = call
    const index = this.#choice
    if (!call.started && name !== undefined) {
      call.started = true
      const id = this.#uniqueId(call.upstreamId)
      this.#emit({ type: 'tool-call-start', index, toolIndex, id, name, ...(extra && { extra }) })
      if (call.arguments !== '') {
        this.#emit({ type: 'tool-call-delta', index, toolIndex, arguments: call.arguments })
      }
    }
    if (text === '') return
    if (call.started) this.#emit({ type: 'tool-call-delta', index, toolIndex, arguments: text })
    if (call.arguments.length <= argumentsKeptMax) call.arguments += text
  }
}

const knownMembers = new Set(['index', 'id', 'type', 'function'])

/** Only a name can start another call where one is open; whether it does, the ids say, and else the arguments. */
function startsAnother(
  open: OpenCall,
  index: number | undefined,
  id: string | undefined,
  name: string | undefined,
  callsBefore: number,
): boolean {
  if (name === undefined || open.name === undefined) return false
  if (id !== undefined && open.upstreamId !== undefined) return id !== open.upstreamId
  const isInSameDelta = open.toolIndex >= callsBefore
  if (index === undefined && (isInSameDelta || name !== open.name)) return true
  return isWholeJson(open.arguments)
}

function isWholeJson(text: string): boolean {
  if (text.length > argumentsKeptMax) return false
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** A string by the book; some send the object itself. */
function argumentsOf(value: unknown): string {
  if (typeof value === 'string') return value
  return isRecord(value) ? JSON.stringify(value) : ''
}
