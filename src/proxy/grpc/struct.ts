import type { Struct, Struct__Output } from '../../generated/proto/google/protobuf/Struct.ts'
import type { Value, Value__Output } from '../../generated/proto/google/protobuf/Value.ts'

type Json = Record<string, unknown>

/** google.protobuf.Struct as the JSON object it stands for. */
export function fromStruct({ fields }: Struct__Output): Json {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, fromValue(value)]))
}

function fromValue(value: Value__Output): unknown {
  switch (value.kind) {
    case 'numberValue':
      return value.numberValue
    case 'stringValue':
      return value.stringValue
    case 'boolValue':
      return value.boolValue
    case 'structValue':
      return value.structValue ? fromStruct(value.structValue) : {}
    case 'listValue':
      return (value.listValue?.values ?? []).map(fromValue)
    default:
      return null
  }
}

/** @param members - JSON; what is undefined is left out */
export function toStruct(members: Readonly<Json>): Struct {
  const fields: Record<string, Value> = {}
  for (const [name, value] of Object.entries(members)) if (value !== undefined) fields[name] = toValue(value)
  return { fields }
}

function toValue(value: unknown): Value {
  switch (typeof value) {
    case 'number':
      return { numberValue: value }
    case 'string':
      return { stringValue: value }
    case 'boolean':
      return { boolValue: value }
    case 'object':
      if (value === null) return { nullValue: 'NULL_VALUE' }
      return Array.isArray(value)
        ? { listValue: { values: value.map(toValue) } }
        : { structValue: toStruct(value as Json) }
    default:
      return { nullValue: 'NULL_VALUE' }
  }
}
