import type { RequestShaping } from '../routing/declared-configuration.ts'
import type { InferenceRequest } from './call.ts'
import { scanJsonObject } from './json-scan.ts'

/** Two names of one thing: the older one, and the one that reasoning models insist on. */
const outputTokensNames = ['max_completion_tokens', 'max_tokens'] as const

const textBytesPerToken = 4

/**
 * The request with an alias's parameters where the client named none, and with numbers above a cap lowered to it. A cap
 * on output tokens also holds where the client set no limit at all.
 *
 * @returns the same request when nothing of it changes
 */
export function shapedRequest(request: InferenceRequest, { parameters, caps }: RequestShaping): InferenceRequest {
  const { bytes, spans } = request
  const isNamed = (name: string): boolean =>
    isOutputTokens(name) ? outputTokensNames.some((each) => spans.has(each)) : spans.has(name)
  const added = new Map<string, unknown>()
  for (const [name, value] of Object.entries(parameters ?? {})) if (!isNamed(name)) added.set(name, value)
  const replaced: { start: number; end: number; text: string }[] = []
  for (const [capped, cap] of Object.entries(caps ?? {})) {
    const names = isOutputTokens(capped) ? outputTokensNames : [capped]
    for (const name of names) {
      const span = spans.get(name)
      if (span && numberAt(bytes, span) > cap) replaced.push({ ...span, text: String(cap) })
      const value = added.get(name)
      if (typeof value === 'number' && value > cap) added.set(name, cap)
    }
    if (isOutputTokens(capped) && !isNamed(capped) && !outputTokensNames.some((name) => added.has(name))) {
      added.set(capped, cap)
    }
  }
  if (added.size === 0 && replaced.length === 0) return request
  return withMembers(request, added, replaced)
}

function withMembers(
  request: InferenceRequest,
  added: ReadonlyMap<string, unknown>,
  replaced: { start: number; end: number; text: string }[],
): InferenceRequest {
  const { bytes } = request
  const open = bytes.indexOf('{') + 1
  let head = ''
  for (const [name, value] of added) head += `${JSON.stringify(name)}:${JSON.stringify(value)},`
  const pieces = [bytes.subarray(0, open), Buffer.from(head)]
  let at = open
  for (const { start, end, text } of replaced.sort((a, b) => a.start - b.start)) {
    pieces.push(bytes.subarray(at, start), Buffer.from(text))
    at = end
  }
  pieces.push(bytes.subarray(at))
  const shaped = Buffer.concat(pieces)
  const { spans } = scanJsonObject(shaped)
  const countAt = (name: string): number | undefined => {
    const span = spans.get(name)
    const value = span ? numberAt(shaped, span) : Number.NaN
    return Number.isSafeInteger(value) && value > 0 ? value : undefined
  }
  return {
    ...request,
    bytes: shaped,
    spans,
    outputTokensMax: countAt('max_completion_tokens') ?? countAt('max_tokens'),
    choices: countAt('n') ?? 1,
    inputTokensEstimate: request.inputTokensEstimate + Math.ceil(head.length / textBytesPerToken),
  }
}

const isOutputTokens = (name: string): boolean => (outputTokensNames as readonly string[]).includes(name)

/** NaN for what is no number, which no cap is about. */
function numberAt(bytes: Buffer, { start, end }: { start: number; end: number }): number {
  const text = bytes.toString('latin1', start, end)
  return /^-?\d/.test(text) ? Number(text) : Number.NaN
}
