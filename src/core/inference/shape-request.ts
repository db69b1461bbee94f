import type { RequestShaping } from '../routing/declared-configuration.ts'
import type { InferenceRequest, Operation } from './call.ts'
import { type Span, scanJsonObject } from './json-scan.ts'

/** Two names of one thing: the older one, and the one that reasoning models insist on. */
const outputTokensNames = ['max_completion_tokens', 'max_tokens'] as const

const textBytesPerToken = 4

/**
 * The request with an alias's parameters where the client named none (null names none), and with numbers above a cap
 * lowered to it. A cap on the output tokens of a chat holds whatever the client sent for them, and where it sent nothing.
 *
 * @returns the same request when nothing of it changes
 */
export function shapedRequest(
  operation: Operation,
  request: InferenceRequest,
  { parameters = {}, caps = {} }: RequestShaping,
): InferenceRequest {
  const sent = (name: string): number | 'no number' | undefined => sentAt(request, name)
  const changes = new Map<string, unknown>()
  for (const [name, value] of Object.entries(parameters)) {
    if (synonymsOf(name).every((each) => sent(each) === undefined)) changes.set(name, value)
  }
  for (const [capped, cap] of Object.entries(caps)) {
    const names = synonymsOf(capped)
    const mustHold = operation === 'chat' && names === outputTokensNames
    for (const name of names) {
      const value = changes.get(name) ?? sent(name)
      const isAbove = typeof value === 'number' ? value > cap : mustHold && value !== undefined
      if (isAbove) changes.set(name, cap)
    }
    if (mustHold && names.every((name) => !changes.has(name) && sent(name) === undefined)) {
      changes.set(names.find((name) => request.spans.has(name)) ?? capped, cap)
    }
  }
  return changes.size === 0 ? request : withMembers(request, changes)
}

function withMembers(request: InferenceRequest, members: ReadonlyMap<string, unknown>): InferenceRequest {
  const { bytes, spans } = request
  const open = bytes.indexOf('{') + 1
  let added = ''
  const replaced: (Span & { text: string })[] = []
  for (const [name, value] of members) {
    const span = spans.get(name)
    if (span) replaced.push({ ...span, text: JSON.stringify(value) })
    else added += `${JSON.stringify(name)}:${JSON.stringify(value)},`
  }
  const pieces = [bytes.subarray(0, open), Buffer.from(added)]
  let at = open
  for (const { start, end, text } of replaced.sort((a, b) => a.start - b.start)) {
    pieces.push(bytes.subarray(at, start), Buffer.from(text))
    at = end
  }
  pieces.push(bytes.subarray(at))
  const shaped = Buffer.concat(pieces)
  const next = { ...request, bytes: shaped, spans: scanJsonObject(shaped).spans }
  const countAt = (name: string): number | undefined => {
    const value = sentAt(next, name)
    return Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : undefined
  }
  return {
    ...next,
    outputTokensMax: countAt('max_completion_tokens') ?? countAt('max_tokens'),
    choices: countAt('n') ?? 1,
    inputTokensEstimate: request.inputTokensEstimate + Math.ceil(added.length / textBytesPerToken),
  }
}

const synonymsOf = (name: string): readonly string[] =>
  (outputTokensNames as readonly string[]).includes(name) ? outputTokensNames : [name]

/** @returns undefined for what is not there, or null */
function sentAt({ bytes, spans }: InferenceRequest, name: string): number | 'no number' | undefined {
  const span = spans.get(name)
  const text = span && bytes.toString('latin1', span.start, span.end)
  if (text === undefined || text === 'null') return undefined
  return /^-?\d/.test(text) ? Number(text) : 'no number'
}
