import type { ContentBlock, Message, SystemContentBlock, ToolResultContentBlock } from '@aws-sdk/client-bedrock-runtime'
import type {
  AssistantMessage,
  CacheControl,
  ChatMessage,
  ContentPart,
  FilePart,
  ImagePart,
  ToolMessage,
} from '../../chat/request.ts'
import { GatewayError } from '../../errors.ts'
import { CallIds } from '../call-ids.ts'
import type { JsonObject } from '../json.ts'

export interface Conversation {
  /** Of all `system` messages, in their order. */
  system: SystemContentBlock[]
  messages: Message[]
}

const callIdLengthMax = 64

/**
 * OpenAI's messages as turns that alternate, each tool result in the turn behind its call: what Converse demands.
 *
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html
 *
 * @throws GatewayError unsupported_parameter
 */
export function toConversation(messages: readonly ChatMessage[]): Conversation {
  const ids = new CallIds(callIdLengthMax)
  const documents = new DocumentNames()
  const system: SystemContentBlock[] = []
  const turns: Message[] = []
  for (const message of messages) {
    switch (message.role) {
      case 'system':
        for (const { text, cacheControl } of message.parts) {
          if (text.trim() !== '') system.push({ text }, ...(cachePoint(cacheControl) as SystemContentBlock[]))
        }
        break
      case 'user':
        addTurn(turns, 'user', userBlocks(message.parts, `${message.path}.content`, documents), message.path)
        break
      case 'tool':
        addTurn(turns, 'user', resultBlocks(message, ids, documents), message.path)
        break
      case 'assistant':
        addTurn(turns, 'assistant', answerBlocks(message, ids), message.path)
    }
  }
  if (turns.length === 0) {
    throw new GatewayError('invalid_body', '"messages" must have a message of the user for this model.', {
      param: 'messages',
    })
  }
  return { system, messages: turns }
}

function addTurn(turns: Message[], role: 'user' | 'assistant', blocks: ContentBlock[], path: string): void {
  if (blocks.length === 0) return
  const last = turns[turns.length - 1]
  if (!last && role === 'assistant')
    throw unsupported(`${path}.role`, 'must be "user" in the first message to this model')
  if (last?.role !== role) {
    turns.push({ role, content: blocks })
    return
  }
  const all = [...(last.content ?? []), ...blocks]
  const isFirst = role === 'user' ? isResult : (block: ContentBlock) => block.toolUse === undefined
  last.content = [...all.filter(isFirst), ...all.filter((block) => !isFirst(block))]
}

const isResult = (block: ContentBlock): boolean => block.toolResult !== undefined

function userBlocks(parts: readonly ContentPart[], path: string, documents: DocumentNames): ContentBlock[] {
  const blocks = parts.flatMap((part) => contentBlocks(part, documents))
  if (blocks.some(({ document }) => document) && !blocks.some(({ text }) => text !== undefined)) {
    throw unsupported(path, 'must have text beside a file for this model')
  }
  return blocks
}

function resultBlocks(
  { toolCallId, parts, cacheControl }: ToolMessage,
  ids: CallIds,
  documents: DocumentNames,
): ContentBlock[] {
  const content = parts.flatMap((part) => contentBlocks(part, documents)) as ToolResultContentBlock[]
  // One that says nothing may not be left out: its call waits for it.
  const said = content.length > 0 ? content : [{ json: {} }]
  return [{ toolResult: { toolUseId: ids.of(toolCallId), content: said } }, ...cachePoint(cacheControl)]
}

function answerBlocks({ parts, toolCalls, thinkingBlocks }: AssistantMessage, ids: CallIds): ContentBlock[] {
  return [
    ...thinkingBlocks.flatMap(reasoningBlock),
    ...parts.flatMap(({ text, cacheControl }) => textBlocks(text, cacheControl)),
    ...toolCalls.map(({ id, name, arguments: input }) => ({
      toolUse: { toolUseId: ids.of(id), name, input: input as never },
    })),
  ]
}

/** What was signed, and will be looked at again; reasoning of other providers stays away. */
function reasoningBlock(block: JsonObject): ContentBlock[] {
  if (block.type === 'thinking' && typeof block.thinking === 'string' && typeof block.signature === 'string') {
    return [{ reasoningContent: { reasoningText: { text: block.thinking, signature: block.signature } } }]
  }
  if (block.type === 'redacted_thinking' && typeof block.data === 'string') {
    return [{ reasoningContent: { redactedContent: Buffer.from(block.data, 'base64') } }]
  }
  return []
}

const textBlocks = (text: string, cacheControl: CacheControl | undefined): ContentBlock[] =>
  text.trim() === '' ? [] : [{ text }, ...cachePoint(cacheControl)]

/** Bedrock marks what is to be cached by a block behind it. */
export function cachePoint(cacheControl: CacheControl | undefined): ContentBlock.CachePointMember[] {
  if (!cacheControl) return []
  const ttl = cacheControl.ttl === '1h' ? { ttl: '1h' as const } : undefined
  return [{ cachePoint: { type: 'default', ...ttl } }]
}

function contentBlocks(part: ContentPart, documents: DocumentNames): ContentBlock[] {
  switch (part.kind) {
    case 'text':
      return textBlocks(part.text, part.cacheControl)
    case 'image':
      return [imageBlock(part), ...cachePoint(part.cacheControl)]
    case 'file':
      return [documentBlock(part, documents), ...cachePoint(part.cacheControl)]
    case 'audio':
      return [{ audio: { format: part.format as never, source: { bytes: Buffer.from(part.base64, 'base64') } } }]
  }
}

const imageFormats: Readonly<Record<string, 'png' | 'jpeg' | 'gif' | 'webp'>> = {
  'image/png': 'png',
  'image/jpeg': 'jpeg',
  'image/jpg': 'jpeg',
  'image/gif': 'gif',
  'image/webp': 'webp',
}

function imageBlock({ source, path }: ImagePart): ContentBlock {
  const param = `${path}.image_url.url`
  if (source.kind === 'url') {
    const extension = /\.(png|jpe?g|gif|webp)$/i.exec(source.url)?.[1]?.toLowerCase()
    if (!source.url.startsWith('s3://') || extension === undefined) {
      throw unsupported(
        param,
        'must be a data URL for this model, or an s3:// URL that ends in .png, .jpg, .gif or .webp: the gateway fetches nothing',
      )
    }
    const format = imageFormats[`image/${extension}`] as 'png'
    return { image: { format, source: { s3Location: { uri: source.url } } } }
  }
  const format = imageFormats[source.mediaType]
  if (!format) throw unsupported(param, `may be a JPEG, PNG, GIF or WebP for this model, not ${source.mediaType}`)
  return { image: { format, source: { bytes: Buffer.from(source.base64, 'base64') } } }
}

type DocumentFormat = 'pdf' | 'csv' | 'doc' | 'docx' | 'xls' | 'xlsx' | 'html' | 'txt' | 'md'

const documentFormats: Readonly<Record<string, DocumentFormat>> = {
  'application/pdf': 'pdf',
  'text/csv': 'csv',
  'application/msword': 'doc',
  'application/vnd.openxmlformats-officedocument.wordprocessingml.document': 'docx',
  'application/vnd.ms-excel': 'xls',
  'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet': 'xlsx',
  'text/html': 'html',
  'text/plain': 'txt',
  'text/markdown': 'md',
}

function documentBlock({ source, filename, path }: FilePart, documents: DocumentNames): ContentBlock {
  const param = `${path}.file.file_data`
  if (source.kind === 'url') throw unsupported(param, 'must be a data URL for this model: the gateway fetches nothing')
  const format = documentFormatOf(source.mediaType, filename)
  if (!format) {
    const known = Object.values(documentFormats).join(', ')
    throw unsupported(param, `may be ${known} for this model, not ${source.mediaType}`)
  }
  const name = documents.of(filename)
  return { document: { format, name, source: { bytes: Buffer.from(source.base64, 'base64') } } }
}

/** By its type, else by what its type or its name ends in: `application/txt` is written, too. */
function documentFormatOf(mediaType: string, filename: string | undefined): DocumentFormat | undefined {
  const known: readonly string[] = Object.values(documentFormats)
  const ending = [/[^/]*$/.exec(mediaType)?.[0], /[^.]*$/.exec(filename?.toLowerCase() ?? '')?.[0]]
  return documentFormats[mediaType] ?? (ending.find((one) => known.includes(one ?? '')) as DocumentFormat | undefined)
}

/** Letters, digits, blanks, hyphens and brackets, one blank at a time; two documents never share a name. */
class DocumentNames {
  readonly #taken = new Set<string>()

  of(filename: string | undefined): string {
    const words = (filename ?? '').replace(/\.[A-Za-z0-9]{1,5}$/, '').replace(/[^A-Za-z0-9()[\]-]+/g, ' ')
    const base = words.trim().slice(0, 180) || 'document'
    let name = base
    for (let number = 2; this.#taken.has(name); number++) name = `${base} (${number})`
    this.#taken.add(name)
    return name
  }
}

const unsupported = (param: string, expectation: string): GatewayError =>
  new GatewayError('unsupported_parameter', `"${param}" ${expectation}.`, { param })
