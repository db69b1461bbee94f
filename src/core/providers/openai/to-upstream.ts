import { type InferenceRequest, parsedRequest } from '../../inference/call.ts'
import type { Span } from '../../inference/json-scan.ts'

interface Edit {
  start: number
  end: number
  text: string
}

/** Where the requests of peers must differ from OpenAI's. */
export interface RequestQuirks {
  /** Usage comes in streams unasked, and asking for it is refused. */
  refusesStreamOptions?: true
  /** Knows the output cap by this name only. */
  outputCapMember?: 'max_tokens'
}

/**
 * The request as the provider shall see it: the client's own bytes with the model's upstream name in them, and with
 * usage asked for in streams, since we account for every call whether or not the client wants to see the numbers.
 *
 * @param outputCap - tokens, where the client names no cap of its own and the answer must have one
 */
export function toUpstreamBody(
  request: InferenceRequest,
  model: string,
  quirks: RequestQuirks = {},
  outputCap?: number,
): Buffer {
  const edits: Edit[] = []
  if (request.model !== model) edits.push(replaceMember(request, 'model', JSON.stringify(model)))
  if (quirks.refusesStreamOptions) {
    if (request.spans.has('stream_options')) edits.push(replaceMember(request, 'stream_options', 'null'))
  } else if (request.stream && !request.includeUsage) {
    edits.push(askForUsage(request))
  }
  if (quirks.outputCapMember && request.spans.has('max_completion_tokens') && !request.spans.has('max_tokens')) {
    edits.push(renameMember(request, 'max_completion_tokens', quirks.outputCapMember))
  }
  if (outputCap !== undefined)
    edits.push(setMember(request, quirks.outputCapMember ?? 'max_completion_tokens', String(outputCap)))
  return edits.length === 0 ? request.bytes : applied(request.bytes, edits)
}

function askForUsage(request: InferenceRequest): Edit {
  if (request.spans.has('stream_options')) {
    const given = parsedRequest(request).stream_options
    const options = typeof given === 'object' && given !== null ? { ...given, include_usage: true } : usageOptions
    return replaceMember(request, 'stream_options', JSON.stringify(options))
  }
  return addMember(request, 'stream_options', JSON.stringify(usageOptions))
}

const usageOptions = { include_usage: true }

/** @param json - the value */
function setMember(request: InferenceRequest, name: string, json: string): Edit {
  return request.spans.has(name) ? replaceMember(request, name, json) : addMember(request, name, json)
}

function addMember({ bytes }: InferenceRequest, name: string, json: string): Edit {
  const brace = bytes.indexOf('{')
  return { start: brace + 1, end: brace + 1, text: `${JSON.stringify(name)}:${json},` }
}

function replaceMember(request: InferenceRequest, name: string, text: string): Edit {
  const span = request.spans.get(name)
  if (!span) throw new Error(`The request has no member ${name}.`)
  return { start: span.start, end: span.end, text }
}

function renameMember(request: InferenceRequest, name: string, newName: string): Edit {
  const { start, end } = request.spans.get(name) as Span
  const { bytes } = request
  // The name stands before its value, up to the member before it or the opening brace.
  const nameEnd = bytes.lastIndexOf(':', start - 1)
  const nameStart = bytes.lastIndexOf('"', bytes.lastIndexOf('"', nameEnd) - 1)
  return { start: nameStart, end, text: `${JSON.stringify(newName)}:${bytes.toString('utf8', start, end)}` }
}

function applied(bytes: Buffer, edits: Edit[]): Buffer {
  edits.sort((a, b) => a.start - b.start)
  const pieces: Buffer[] = []
  let at = 0
  for (const { start, end, text } of edits) {
    pieces.push(bytes.subarray(at, start), Buffer.from(text))
    at = end
  }
  pieces.push(bytes.subarray(at))
  return Buffer.concat(pieces)
}
