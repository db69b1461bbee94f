import { z } from 'zod'
import type { ProviderType } from '../core/providers/provider.ts'
import { providerSchemas } from './provider-schema.ts'
import { headerValueCheck } from './schema-fields.ts'

const headerField = /^header:[a-z0-9-]{1,100}$/

/**
 * Judges a credential that is entered apart from the file by what the file's schema says of the same field.
 *
 * @returns what is wrong, in words that do not repeat the value, or undefined
 */
export function credentialProblem(type: ProviderType, field: string, text: string): string | undefined {
  const fields = fieldsOf(type)
  const schema = fields.get(field)
  if (schema) return schema.safeParse(text).error?.issues[0]?.message
  if (headerField.test(field) && takesHeaders(type)) return headerValueCheck(text)
  const known = [...fields.keys(), ...(takesHeaders(type) ? ['header:NAME'] : [])]
  return `is no credential of a provider of type ${type}; ${known.length > 0 ? `expected one of ${known.join(', ')}` : 'it has none'}`
}

const shapeOf = (type: ProviderType): Readonly<Record<string, unknown>> =>
  providerSchemas.find(({ shape }) => shape.type.value === type)?.shape ?? {}

const takesHeaders = (type: ProviderType): boolean => 'headers' in shapeOf(type)

function fieldsOf(type: ProviderType): Map<string, z.ZodType> {
  const fields = new Map<string, z.ZodType>()
  collect(shapeOf(type).credentials, fields)
  return fields
}

/** A type may take one set of fields or another. */
function collect(schema: unknown, fields: Map<string, z.ZodType>): void {
  if (schema instanceof z.ZodObject) {
    for (const [name, field] of Object.entries(schema.shape)) fields.set(name, field as z.ZodType)
  } else if (schema instanceof z.ZodUnion) {
    for (const option of schema.options) collect(option, fields)
  } else if (schema instanceof z.ZodPrefault || schema instanceof z.ZodDefault || schema instanceof z.ZodOptional) {
    collect(schema.unwrap(), fields)
  }
}
