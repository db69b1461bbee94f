import { GraphQLScalarType, type ValueNode } from 'graphql'
import { badInput } from './errors.ts'

const literal = (node: ValueNode): unknown => ('value' in node ? node.value : undefined)

const scalar = (name: string, serialize: (value: unknown) => unknown, parse: (value: unknown) => unknown) =>
  new GraphQLScalarType({ name, serialize, parseValue: parse, parseLiteral: (node) => parse(literal(node)) })

function parseDateTime(value: unknown): Date {
  const isOne =
    typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)$/.test(value)
  const date = isOne ? new Date(value) : undefined
  if (date && !Number.isNaN(date.getTime())) return date
  throw badInput('A DateTime has the form 2026-11-23T19:56:00.000Z.')
}

const int64Max = 2n ** 63n - 1n

function parseBigInt(value: unknown): bigint {
  const text = typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : value
  if (typeof text === 'string' && /^-?\d{1,19}$/.test(text)) {
    const number = BigInt(text)
    if (number <= int64Max && number >= -int64Max - 1n) return number
  }
  throw badInput('A BigInt is a whole number of 64 bits, as a decimal string.')
}

export const scalars = {
  DateTime: scalar('DateTime', (value) => (value as Date).toISOString(), parseDateTime),
  Date: scalar('Date', String, (value) => {
    if (typeof value === 'string' && /^\d{4}-\d\d-\d\d$/.test(value)) return value
    throw badInput('A Date has the form 2026-11-23.')
  }),
  BigInt: scalar('BigInt', String, parseBigInt),
}
