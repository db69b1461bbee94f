import type {
  AssistantMessage,
  CacheControl,
  ChatMessage,
  ContentPart,
  FilePart,
  ImagePart,
  SystemMessage,
  TextPart,
  ToolMessage,
  UserMessage,
} from '../../chat/request.ts'
import { GatewayError } from '../../errors.ts'
import { CallIds } from '../call-ids.ts'
import type { JsonObject } from '../json.ts'

export type Block = JsonObject & { type: string }

export interface AnthropicMessage {
  role: 'user' | 'assistant'
  content: Block[]
}

export interface Conversation {
  /** Of all `system` messages, in their order: Anthropic has one place for them. */
  system: Block[]
  messages: AnthropicMessage[]
}

/** Anthropic takes ids of `[a-zA-Z0-9_-]+`. */
const callIdLengthMax = 64

/**
 * OpenAI's messages as turns that alternate: what the user and the tools say between two answers is one message, its
 * tool results first; an answer has its thinking first and its tool calls last. Texts without a character are left
 * out, as they are refused.
 *
 * @throws GatewayError unsupported_parameter
 */
export function toConversation(messages: readonly ChatMessage[]): Conversation {
  const ids = new CallIds(callIdLengthMax)
  const system: Block[] = []
  const turns: AnthropicMessage[] = []
  for (const message of messages) {
    switch (message.role) {
      case 'system':
        system.push(...textBlocks((message as SystemMessage).parts))
        break
      case 'user':
        addTurn(turns, 'user', userBlocks(message), message.path)
        break
      case 'tool':
        addTurn(turns, 'user', [toolResult(message, ids)], message.path)
        break
      case 'assistant':
        addTurn(turns, 'assistant', assistantBlocks(message, ids), message.path)
    }
  }
  if (turns.length === 0) {
    throw new GatewayError('invalid_body', '"messages" must have a message of the user for this model.', {
      param: 'messages',
    })
  }
  const last = turns[turns.length - 1] as AnthropicMessage
  if (last.role === 'assistant') withoutTrailingSpace(last.content)
  return { system, messages: turns }
}

function addTurn(turns: AnthropicMessage[], role: AnthropicMessage['role'], blocks: Block[], path: string): void {
  if (blocks.length === 0) return
  const last = turns[turns.length - 1]
  if (!last && role === 'assistant') {
    throw new GatewayError(
      'unsupported_parameter',
      `"${path}.role" must be "user" in the first message to this model.`,
      {
        param: `${path}.role`,
      },
    )
  }
  if (last?.role === role)
    last.content = role === 'user' ? resultsFirst(last.content, blocks) : callsLast(last.content, blocks)
  else turns.push({ role, content: blocks })
}

const resultsFirst = (...turns: Block[][]): Block[] => split(turns.flat(), (block) => block.type === 'tool_result')

const callsLast = (...turns: Block[][]): Block[] => split(turns.flat(), (block) => block.type !== 'tool_use')

function split(blocks: Block[], isFirst: (block: Block) => boolean): Block[] {
  return [...blocks.filter(isFirst), ...blocks.filter((block) => !isFirst(block))]
}

function userBlocks({ parts }: UserMessage): Block[] {
  return parts.flatMap(contentBlocks)
}

function toolResult({ toolCallId, parts, cacheControl }: ToolMessage, ids: CallIds): Block {
  const blocks = parts.flatMap(contentBlocks)
  const only = blocks.length === 1 ? blocks[0] : undefined
  const content = only?.type === 'text' && only.cache_control === undefined ? only.text : blocks
  return {
    type: 'tool_result',
    tool_use_id: ids.of(toolCallId),
    ...(blocks.length > 0 && { content }),
    ...marked(cacheControl),
  }
}

function assistantBlocks({ parts, toolCalls, thinkingBlocks }: AssistantMessage, ids: CallIds): Block[] {
  return [
    ...thinkingBlocks.filter(isThinking),
    ...textBlocks(parts),
    ...toolCalls.map(({ id, name, arguments: input }): Block => ({ type: 'tool_use', id: ids.of(id), name, input })),
  ]
}

/** What Anthropic has signed, and will look at again; a block without text is as good as one with. */
function isThinking(block: JsonObject): block is Block {
  return (
    (block.type === 'thinking' && typeof block.thinking === 'string' && typeof block.signature === 'string') ||
    (block.type === 'redacted_thinking' && typeof block.data === 'string')
  )
}

const textBlocks = (parts: readonly TextPart[]): Block[] => parts.flatMap(textBlock)

const textBlock = ({ text, cacheControl }: TextPart): Block[] =>
  text.trim() === '' ? [] : [{ type: 'text', text, ...marked(cacheControl) }]

function contentBlocks(part: ContentPart): Block[] {
  switch (part.kind) {
    case 'text':
      return textBlock(part)
    case 'image':
      return [{ type: 'image', source: imageSource(part), ...marked(part.cacheControl) }]
    case 'file':
      return [
        {
          type: 'document',
          source: documentSource(part),
          ...(part.filename !== undefined && { title: part.filename }),
          ...marked(part.cacheControl),
        },
      ]
    case 'audio':
      throw unsupported(part.path, 'may not be audio for this model')
  }
}

const imageTypes: ReadonlySet<string> = new Set(['image/jpeg', 'image/png', 'image/gif', 'image/webp'])

function imageSource({ source, path }: ImagePart): JsonObject {
  if (source.kind === 'url') return { type: 'url', url: source.url }
  const mediaType = source.mediaType === 'image/jpg' ? 'image/jpeg' : source.mediaType
  if (!imageTypes.has(mediaType)) {
    throw unsupported(`${path}.image_url.url`, `may be a JPEG, PNG, GIF or WebP for this model, not ${mediaType}`)
  }
  return { type: 'base64', media_type: mediaType, data: source.base64 }
}

function documentSource({ source, path }: FilePart): JsonObject {
  if (source.kind === 'url') return { type: 'url', url: source.url }
  const { mediaType, base64 } = source
  if (/^text\/|^application\/(?:txt|json)$/.test(mediaType)) {
    return { type: 'text', media_type: 'text/plain', data: Buffer.from(base64, 'base64').toString('utf8') }
  }
  if (mediaType === 'application/pdf') return { type: 'base64', media_type: mediaType, data: base64 }
  throw unsupported(`${path}.file.file_data`, `may be a PDF or text for this model, not ${mediaType}`)
}

/** An answer that is to be continued may not end in white space. */
function withoutTrailingSpace(content: Block[]): void {
  const last = content[content.length - 1]
  if (last?.type === 'text') content[content.length - 1] = { ...last, text: String(last.text).trimEnd() }
}

const marked = (cacheControl: CacheControl | undefined) => (cacheControl ? { cache_control: cacheControl } : undefined)

const unsupported = (param: string, expectation: string): GatewayError =>
  new GatewayError('unsupported_parameter', `"${param}" ${expectation}.`, { param })
