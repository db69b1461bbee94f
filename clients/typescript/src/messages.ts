import type { Struct } from './generated/google/protobuf/Struct.ts'
import type { Value } from './generated/google/protobuf/Value.ts'
import type { CompleteResponse__Output } from './generated/thinkpixel/llmgw/v1/CompleteResponse.ts'
import type { Message } from './generated/thinkpixel/llmgw/v1/Message.ts'

export const system = (text: string): Message => ({ role: 'ROLE_SYSTEM', content: [{ text }] })
export const user = (text: string): Message => ({ role: 'ROLE_USER', content: [{ text }] })
export const assistant = (text: string): Message => ({ role: 'ROLE_ASSISTANT', content: [{ text }] })

/** @param toolCallId - of the call that this is the result of */
export const toolResult = (toolCallId: string, text: string): Message => ({
  role: 'ROLE_TOOL',
  toolCallId,
  content: [{ text }],
})

/** All text of the first choice. */
export const textOf = ({ choices }: CompleteResponse__Output): string =>
  (choices[0]?.message?.content ?? []).map(({ text }) => text ?? '').join('')

/** JSON as google.protobuf.Struct: for `providerOptions`, and for the schemas of tools and of answers. */
export function struct(members: Readonly<Record<string, unknown>>): Struct {
  const fields: Record<string, Value> = {}
  for (const [name, value] of Object.entries(members)) if (value !== undefined) fields[name] = structValue(value)
  return { fields }
}

function structValue(value: unknown): Value {
  switch (typeof value) {
    case 'number':
      return { numberValue: value }
    case 'string':
      return { stringValue: value }
    case 'boolean':
      return { boolValue: value }
    case 'object':
      if (value === null) return { nullValue: 'NULL_VALUE' }
      if (Array.isArray(value)) return { listValue: { values: value.map(structValue) } }
      return { structValue: struct(value as Record<string, unknown>) }
    default:
      throw new TypeError(`JSON has no ${typeof value}.`)
  }
}
