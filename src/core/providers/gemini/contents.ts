import type {
  AssistantMessage,
  ChatMessage,
  ContentPart,
  FilePart,
  ImagePart,
  ToolCall,
  ToolMessage,
} from '../../chat/request.ts'
import { GatewayError } from '../../errors.ts'
import { isRecord, type JsonObject, nonEmptyString, parsedJson, recordOr } from '../json.ts'
import { mediaTypeOfUrl } from './media-types.ts'

export type Part = JsonObject

export interface Content {
  role: 'user' | 'model'
  parts: Part[]
}

export interface ContentsOptions {
  /** Vertex reads from Cloud Storage. */
  readsCloudStorage: boolean
  /** Gemini 3 refuses calls in the history that it has not signed. */
  wantsSignatures: boolean
}

export interface Contents {
  systemInstruction: { parts: Part[] } | undefined
  contents: Content[]
}

/**
 * OpenAI's messages as Gemini's contents. What the user and the tools say between two answers is one content, as the
 * results of parallel calls must be.
 *
 * https://ai.google.dev/api/caching#Content
 *
 * @throws GatewayError unsupported_parameter
 */
export function toContents(messages: readonly ChatMessage[], options: ContentsOptions): Contents {
  const calls = new Map<string, ToolCall>()
  const system: Part[] = []
  const contents: Content[] = []
  for (const message of messages) {
    switch (message.role) {
      case 'system':
        system.push(...message.parts.flatMap((part) => contentParts(part, options)))
        break
      case 'user':
        add(
          contents,
          'user',
          message.parts.flatMap((part) => contentParts(part, options)),
        )
        break
      case 'tool':
        add(contents, 'user', resultParts(message, calls, options))
        break
      case 'assistant':
        for (const call of message.toolCalls) calls.set(call.id, call)
        add(contents, 'model', answerParts(message, options))
    }
  }
  if (contents.length === 0) {
    throw new GatewayError('invalid_body', '"messages" must have a message of the user for this model.', {
      param: 'messages',
    })
  }
  return { systemInstruction: system.length > 0 ? { parts: system } : undefined, contents }
}

function add(contents: Content[], role: Content['role'], parts: Part[]): void {
  if (parts.length === 0) return
  const last = contents[contents.length - 1]
  if (last?.role === role) last.parts.push(...parts)
  else contents.push({ role, parts })
}

/** What Google takes in place of a signature for calls that another model has made. */
const foreignSignature = 'skip_thought_signature_validator'

function answerParts({ parts, toolCalls, extra }: AssistantMessage, options: ContentsOptions): Part[] {
  const answer: Part[] = parts.filter(({ text }) => text !== '').map(({ text }) => ({ text }))
  const signature = signatureIn(extra)
  if (signature !== undefined) {
    const last = answer.pop()
    answer.push({ ...(last ?? { text: '' }), thoughtSignature: signature })
  }
  for (const [at, call] of toolCalls.entries()) {
    // Of parallel calls only the first is signed.
    const signed = signatureIn(call.extra) ?? (options.wantsSignatures && at === 0 ? foreignSignature : undefined)
    answer.push({
      functionCall: { ...ownId(call.id), name: call.name, args: call.arguments },
      ...(signed !== undefined && { thoughtSignature: signed }),
    })
  }
  return answer
}

const signatureIn = (extra: JsonObject | undefined): string | undefined =>
  nonEmptyString(recordOr(extra?.google).thought_signature)

/** Ids as other providers, and this gateway, make them; Gemini's own look like none of these. */
const foreignId = /^(?:call_|toolu_|tooluse_|chatcmpl-|fc_|functions\.)/

/** Gemini 3 wants its own ids back; those it has not given it may not take. */
const ownId = (id: string): JsonObject | undefined => (foreignId.test(id) ? undefined : { id })

/** A result belongs to its call by the name of the function. */
function resultParts(
  { toolCallId, parts }: ToolMessage,
  calls: ReadonlyMap<string, ToolCall>,
  options: ContentsOptions,
): Part[] {
  const text = parts.flatMap((part) => (part.kind === 'text' ? [part.text] : [])).join('')
  const media = parts.filter(({ kind }) => kind !== 'text').flatMap((part) => contentParts(part, options))
  const parsed = parsedJson(text)
  const response = isRecord(parsed) ? parsed : { output: text }
  const name = calls.get(toolCallId)?.name
  return [{ functionResponse: { ...ownId(toolCallId), name, response } }, ...media]
}

function contentParts(part: ContentPart, options: ContentsOptions): Part[] {
  switch (part.kind) {
    case 'text':
      return part.text === '' ? [] : [{ text: part.text }]
    case 'image':
      return [mediaPart(part, `${part.path}.image_url.url`, options)]
    case 'file':
      return [mediaPart(part, `${part.path}.file.file_data`, options)]
    case 'audio':
      return [{ inlineData: { mimeType: `audio/${part.format}`, data: part.base64 } }]
  }
}

function mediaPart({ source }: ImagePart | FilePart, param: string, { readsCloudStorage }: ContentsOptions): Part {
  if (source.kind === 'data') return { inlineData: { mimeType: source.mediaType, data: source.base64 } }
  const { url } = source
  if (!(readsCloudStorage ? /^(?:https?|gs):/i : /^https?:/i).test(url)) {
    throw unsupported(
      param,
      `must be an https URL${readsCloudStorage ? ', one of Cloud Storage (gs://)' : ''} or a data URL for this model`,
    )
  }
  const mimeType = mediaTypeOfUrl(url)
  if (mimeType === undefined) {
    throw unsupported(
      param,
      'must end in a known file extension, such as .png or .pdf, for this model; or send the bytes as a data URL',
    )
  }
  return { fileData: { fileUri: url, mimeType } }
}

const unsupported = (param: string, expectation: string): GatewayError =>
  new GatewayError('unsupported_parameter', `"${param}" ${expectation}.`, { param })
