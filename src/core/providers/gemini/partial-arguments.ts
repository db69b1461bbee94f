import { isRecord, recordsIn } from '../json.ts'

type Container = Record<string, unknown> | unknown[]

/** More elements than this in one list of arguments are no call but an attack on memory. */
const indexMax = 10_000

/**
 * Puts the arguments of a function call together that Vertex streams in pieces: each names a place by a JSON path and
 * has the value, or the next part of a text.
 *
 * https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling#streaming-fc
 */
export class PartialArguments {
  readonly value: Record<string, unknown> = {}

  /** @param pieces - `partialArgs` */
  add(pieces: unknown): void {
    for (const piece of recordsIn(pieces)) this.#put(stepsOf(piece.jsonPath), piece)
  }

  #put(steps: readonly (string | number)[], piece: Record<string, unknown>): void {
    let at: Container = this.value
    for (const [depth, step] of steps.entries()) {
      if (depth === steps.length - 1) {
        setIn(at, step, pieceValue(piece, getIn(at, step)))
        return
      }
      let next = getIn(at, step)
      if (!isContainer(next)) {
        next = typeof steps[depth + 1] === 'number' ? [] : {}
        setIn(at, step, next)
      }
      at = next as Container
    }
  }
}

const isContainer = (value: unknown): value is Container => Array.isArray(value) || isRecord(value)

const getIn = (container: Container, step: string | number): unknown =>
  Array.isArray(container) ? container[Number(step)] : Object.hasOwn(container, step) ? container[step] : undefined

function setIn(container: Container, step: string | number, value: unknown): void {
  if (Array.isArray(container)) {
    if (typeof step === 'number' && step <= indexMax) container[step] = value
  } else if (step !== '__proto__') {
    container[step] = value
  }
}

function pieceValue(piece: Record<string, unknown>, before: unknown): unknown {
  if (typeof piece.stringValue === 'string') {
    return typeof before === 'string' ? before + piece.stringValue : piece.stringValue
  }
  return piece.numberValue ?? piece.boolValue ?? before ?? null
}

/** `$.location.names[0]` and `$['a b']` */
function stepsOf(path: unknown): (string | number)[] {
  if (typeof path !== 'string') return []
  return Array.from(
    path.matchAll(/\.([^.[\]]+)|\[(\d+)\]|\[(?:'([^']*)'|"([^"]*)")\]/g),
    ([, name, index, quoted, doubleQuoted]) =>
      index === undefined ? (name ?? quoted ?? doubleQuoted ?? '') : Number(index),
  )
}
