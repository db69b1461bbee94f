import type { ExtraMembers, FinishReason } from '../../chat/event.ts'
import { isRecord, nonEmptyString } from '../json.ts'

/** What peers write where OpenAI writes `finish_reason`; `failed` where they name a failure there. */
export function finishFrom(reason: unknown): FinishReason | 'failed' | undefined {
  if (typeof reason !== 'string' || reason === '') return undefined
  switch (reason.toLowerCase()) {
    case 'length':
    case 'model_length': // Mistral: the context is full
    case 'max_tokens':
      return 'length'
    case 'content_filter':
    case 'safety':
      return 'content_filter'
    case 'tool_calls':
    case 'tool_call':
    case 'tool_use':
    case 'function_call':
      return 'tool_calls'
    case 'error': // Mistral, OpenRouter
    case 'insufficient_system_resource': // DeepSeek: broken off
      return 'failed'
    default:
      return 'stop'
  }
}

/** Text, or thinking, in the order a `content` has it. */
export interface ContentPiece {
  kind: 'text' | 'reasoning' | 'refusal'
  text: string
}

/** `content`: a string by the book; Mistral and others send parts. Parts that hold no text are left out. */
export function piecesOf(content: unknown): ContentPiece[] {
  if (typeof content === 'string') return content === '' ? [] : [{ kind: 'text', text: content }]
  if (!Array.isArray(content)) return isRecord(content) ? piecesOf([content]) : []
  const pieces: ContentPiece[] = []
  for (const part of content) {
    if (typeof part === 'string') pieces.push({ kind: 'text', text: part })
    else if (isRecord(part)) pieces.push(pieceOf(part))
  }
  return pieces.filter(({ text }) => text !== '')
}

function pieceOf(part: Record<string, unknown>): ContentPiece {
  switch (part.type) {
    case 'thinking':
    case 'reasoning':
      return { kind: 'reasoning', text: plainText(part.thinking ?? part.reasoning ?? part.text) }
    case 'refusal':
      return { kind: 'refusal', text: plainText(part.refusal) }
    default:
      return { kind: 'text', text: plainText(part.text) }
  }
}

/** `reasoning_content` (DeepSeek, xAI, Z.ai), `reasoning` (Groq, OpenRouter, Ollama), or what `reasoning_details` hold. */
export function reasoningOf(delta: Record<string, unknown>): string {
  return (
    plainText(delta.reasoning_content) || plainText(delta.reasoning) || plainText(delta.reasoning_details, 'summary')
  )
}

/** The text in a string, or in a list of parts. */
function plainText(value: unknown, otherMember?: string): string {
  if (typeof value === 'string') return value
  if (!Array.isArray(value)) return ''
  let text = ''
  for (const part of value) {
    if (typeof part === 'string') text += part
    else if (isRecord(part)) text += nonEmptyString(part.text) ?? nonEmptyString(part[otherMember ?? 'text']) ?? ''
  }
  return text
}

/** More unknown members than this are no format but an attack on memory. */
const extraMembersMax = 32

/** @returns the members that say something and that `known` does not name, or undefined when there are none */
export function extraMembers(from: Record<string, unknown>, known: ReadonlySet<string>): ExtraMembers | undefined {
  let members: Record<string, unknown> | undefined
  let count = 0
  for (const name in from) {
    if (known.has(name) || name === '__proto__' || saysNothing(from[name]) || ++count > extraMembersMax) continue
    members ??= {}
    members[name] = from[name]
  }
  return members
}

function saysNothing(value: unknown): boolean {
  if (value === null || value === undefined || value === '') return true
  if (Array.isArray(value)) return value.length === 0
  return isRecord(value) && Object.keys(value).length === 0
}
