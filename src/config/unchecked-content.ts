import type { ConfigProblem } from './problem.ts'

/** Looks into a config file whose fields are not checked yet: what is not of the expected kind is as if it were not there. */

export interface Item {
  /** Such as `keys[3]`. */
  path: string
  item: unknown
}

export function itemsOf(parent: unknown, field: string, prefix = ''): Item[] {
  const list = memberOf(parent, field)
  return Array.isArray(list) ? list.map((item, index) => ({ path: `${prefix}${field}[${index}]`, item })) : []
}

export function memberOf(parent: unknown, field: string): unknown {
  return typeof parent === 'object' && parent !== null ? (parent as Record<string, unknown>)[field] : undefined
}

export function textOf(parent: unknown, field: string): string | undefined {
  const value = memberOf(parent, field)
  return typeof value === 'string' ? value : undefined
}

/** Each item after the first that has the same value. */
export function repeated(
  items: readonly Item[],
  field: string,
  identify: (item: unknown) => string | undefined,
): ConfigProblem[] {
  const firstPaths = new Map<string, string>()
  const problems: ConfigProblem[] = []
  for (const { path, item } of items) {
    const value = identify(item)
    if (value === undefined) continue
    const first = firstPaths.get(value)
    if (first === undefined) firstPaths.set(value, path)
    else problems.push({ path: `${path}.${field}`, message: `is the same as in ${first}; expected another one` })
  }
  return problems
}
