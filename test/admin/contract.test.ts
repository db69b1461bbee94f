import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  buildSchema,
  findBreakingChanges,
  type GraphQLNamedType,
  getNamedType,
  isInputObjectType,
  isInterfaceType,
  isObjectType,
  isSpecifiedScalarType,
  isUnionType,
} from 'graphql'
import { describe, expect, test } from 'vitest'
import { adminSchema } from '../../src/admin/schema.ts'

const schema = adminSchema()
const types = Object.values(schema.getTypeMap()).filter(
  (type) => !type.name.startsWith('__') && !isSpecifiedScalarType(type),
)

/** Everything of a type that people read about, by name. */
function* partsOf(type: GraphQLNamedType): Generator<[name: string, description: string | null | undefined]> {
  yield [type.name, type.description]
  if (isInputObjectType(type)) {
    for (const field of Object.values(type.getFields())) yield [`${type.name}.${field.name}`, field.description]
  }
  if (!isObjectType(type) && !isInterfaceType(type)) return
  for (const field of Object.values(type.getFields())) {
    yield [`${type.name}.${field.name}`, field.description]
    for (const argument of field.args) yield [`${type.name}.${field.name}(${argument.name})`, argument.description]
  }
}

describe('the contract', () => {
  test('says of every type, field and argument what it is, in sentences', () => {
    const silent = types
      .flatMap((type) => [...partsOf(type)])
      .filter(([, description]) => !/\S.*[.?!:)`]$/s.test(description?.trim() ?? ''))
      .map(([name]) => name)
    expect(silent).toEqual([])
  })

  test('has one input and one payload of its own for each mutation, with what the user can put right', () => {
    const wrong: string[] = []
    for (const field of Object.values(schema.getMutationType()?.getFields() ?? {})) {
      const name = `${field.name[0]?.toUpperCase()}${field.name.slice(1)}`
      const [input, ...others] = field.args.map((argument) => `${argument.name}: ${argument.type}`)
      const isInput = others.length === 0 && (input === undefined || input === `input: ${name}Input!`)
      const payload = getNamedType(field.type)
      const isPayload = /Payload$/.test(payload.name) && String(field.type) === `${payload.name}!`
      const errors = isObjectType(payload) ? payload.getFields().errors : undefined
      const isTyped = errors === undefined || isUnionType(getNamedType(errors.type))
      if (!isInput || !isPayload || !isTyped) wrong.push(field.name)
    }
    expect(wrong).toEqual([])
  })

  test('pages every list of a connection alike', () => {
    const wrong = types.filter(isObjectType).flatMap((type) =>
      Object.values(type.getFields())
        .filter((field) => /Connection$/.test(getNamedType(field.type).name))
        .filter(({ args }) => {
          const [first, after] = ['first', 'after'].map((name) => args.find((argument) => argument.name === name))
          return String(first?.type) !== 'Int!' || first?.defaultValue === undefined || String(after?.type) !== 'String'
        })
        .map((field) => `${type.name}.${field.name}`),
    )
    expect(wrong).toEqual([])
  })

  test('breaks nothing of the last release', () => {
    const file = join(import.meta.dirname, '../../schema/released/admin.graphql')
    const released = buildSchema(readFileSync(file, 'utf8'))
    expect(findBreakingChanges(released, schema).map(({ description }) => description)).toEqual([])
  })

  test.each([
    ['a field that is gone', 'isCurrent: Boolean!', 'isCurrentNow: Boolean!'],
    ['an argument that is needed now', 'id: ID!\n  ): Node\n', 'id: ID!\n    kind: String!\n  ): Node\n'],
    ['an enum without one of its values', '  FLEX\n', '  SLOW\n'],
  ])('would be known to break by %s', (_what, before, after) => {
    const file = join(import.meta.dirname, '../../schema/released/admin.graphql')
    const text = readFileSync(file, 'utf8')
    expect(text).toContain(before)
    const changed = buildSchema(text.replace(before, after))
    expect(findBreakingChanges(buildSchema(text), changed)).toHaveLength(1)
  })
})
