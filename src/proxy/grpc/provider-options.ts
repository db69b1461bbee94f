import { GatewayError } from '../../core/errors.ts'
import type { Struct__Output } from '../../generated/proto/google/protobuf/Struct.ts'
import { fromStruct } from './struct.ts'

/** Where the compiled names of OpenAI's members have another one in our messages. */
export type FieldByMember = Readonly<Record<string, string>>

/**
 * Adds what a request says beyond its fields.
 *
 * @param fields - by the member of OpenAI's form that each of them stands for
 * @throws GatewayError invalid_body for a member that a field stands for: two places to say one thing may disagree
 */
export function withProviderOptions(
  body: Record<string, unknown>,
  options: Struct__Output | null,
  fields: FieldByMember,
): Record<string, unknown> {
  if (!options) return body
  const added = fromStruct(options)
  for (const member of Object.keys(added)) {
    const field = fields[member]
    if (field === undefined) continue
    throw new GatewayError('invalid_body', `"provider_options.${member}" is said by the field ${field}.`, {
      param: `provider_options.${member}`,
    })
  }
  return { ...body, ...added }
}
