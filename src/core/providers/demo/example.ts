/** Deeper, or more, than any schema a person wrote; references may be endless. */
const depthMax = 12
const nodesMax = 1_000

/**
 * A small value that a JSON schema would take: required members only, the first choice of each.
 *
 * @param schema - anything; what is no schema allows anything, and gets an empty object
 */
export function exampleOf(schema: unknown): unknown {
  return new ExampleMaker(schema).make(schema, 0)
}

type Schema = Readonly<Record<string, unknown>>

class ExampleMaker {
  readonly #root: unknown
  #nodes = 0

  constructor(root: unknown) {
    this.#root = root
  }

  make(value: unknown, depth: number): unknown {
    if (!isSchema(value)) return {}
    if (depth > depthMax || ++this.#nodes > nodesMax) return null
    for (const name of ['const', 'default'] as const) if (name in value) return value[name]
    for (const name of ['enum', 'examples'] as const) {
      const [first] = listOf(value[name])
      if (first !== undefined) return first
    }
    if (typeof value.$ref === 'string') return this.make(this.#resolved(value.$ref), depth + 1)
    const [alternative] = [...listOf(value.anyOf), ...listOf(value.oneOf), ...listOf(value.allOf)]
    return alternative === undefined ? this.#ofType(value, depth) : this.make(alternative, depth + 1)
  }

  #ofType(schema: Schema, depth: number): unknown {
    const type = Array.isArray(schema.type) ? schema.type.find((one) => one !== 'null') : schema.type
    switch (type) {
      case 'string':
        return stringOf(schema)
      case 'integer':
      case 'number':
        return typeof schema.minimum === 'number' ? schema.minimum : 1
      case 'boolean':
        return true
      case 'null':
        return null
      case 'array':
        return schema.items === undefined ? [] : [this.make(schema.items, depth + 1)]
      default:
        return this.#object(schema, depth)
    }
  }

  #object({ properties, required }: Schema, depth: number): unknown {
    if (!isSchema(properties)) return {}
    const names = listOf(required).filter(
      (name): name is string => typeof name === 'string' && Object.hasOwn(properties, name),
    )
    return Object.fromEntries(names.map((name) => [name, this.make(properties[name], depth + 1)]))
  }

  /** Only within the schema: `#/$defs/Place`. */
  #resolved(reference: string): unknown {
    let at: unknown = this.#root
    for (const step of reference.split('/').slice(1)) {
      at = isSchema(at) && Object.hasOwn(at, step) ? at[step] : undefined
    }
    return at
  }
}

function stringOf({ format, minLength }: Schema): string {
  switch (format) {
    case 'date':
      return '2026-01-01'
    case 'date-time':
      return '2026-01-01T00:00:00Z'
    case 'email':
      return 'demo@example.com'
    case 'uri':
      return 'https://example.com'
    default:
      return 'demo'.padEnd(typeof minLength === 'number' ? Math.min(minLength, 1_000) : 0, '.')
  }
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

const isSchema = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
