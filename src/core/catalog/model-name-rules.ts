/** When a model of genai-prices is meant by a name. */
export type NameMatch =
  | { or: NameMatch[] }
  | { and: NameMatch[] }
  | { equals: string }
  | { starts_with: string }
  | { ends_with: string }
  | { contains: string }
  | { regex: string }

/** A name in a catalog, and the other names that stand for the same model: dated snapshots, deployments by region. */
export interface NameRule {
  catalog: string
  /** What the catalog calls the model. */
  name: string
  match: NameMatch
}

/** @returns the catalog's name of the model that a name stands for; undefined for names that no rule knows */
export type NameResolver = (catalog: string, name: string) => string | undefined

/** The first rule that matches decides, in the order given; within the name's own catalog alone. */
export function createNameResolver(rules: readonly NameRule[]): NameResolver {
  const byCatalog = new Map<string, { name: string; matches: (lowerCased: string, name: string) => boolean }[]>()
  for (const { catalog, name, match } of rules) {
    const list = byCatalog.get(catalog) ?? []
    list.push({ name, matches: compile(match) })
    byCatalog.set(catalog, list)
  }
  return (catalog, name) => {
    const lowerCased = name.toLowerCase()
    return byCatalog.get(catalog)?.find(({ matches }) => matches(lowerCased, name))?.name
  }
}

export function matchesName(match: NameMatch, name: string): boolean {
  return compile(match)(name.toLowerCase(), name)
}

/** The names that a match gives in full. */
export function exactNamesOf(match: NameMatch): string[] {
  if ('equals' in match) return [match.equals]
  return 'or' in match ? match.or.flatMap(exactNamesOf) : []
}

/** Texts are compared without regard to case, regular expressions as they are: so does the library. */
function compile(match: NameMatch): (lowerCased: string, name: string) => boolean {
  if ('or' in match) {
    const parts = match.or.map(compile)
    return (lowerCased, name) => parts.some((part) => part(lowerCased, name))
  }
  if ('and' in match) {
    const parts = match.and.map(compile)
    return (lowerCased, name) => parts.every((part) => part(lowerCased, name))
  }
  if ('regex' in match) {
    const pattern = new RegExp(match.regex)
    return (_, name) => pattern.test(name)
  }
  if ('equals' in match) {
    const text = match.equals.toLowerCase()
    return (lowerCased) => lowerCased === text
  }
  if ('starts_with' in match) {
    const text = match.starts_with.toLowerCase()
    return (lowerCased) => lowerCased.startsWith(text)
  }
  if ('ends_with' in match) {
    const text = match.ends_with.toLowerCase()
    return (lowerCased) => lowerCased.endsWith(text)
  }
  const text = match.contains.toLowerCase()
  return (lowerCased) => lowerCased.includes(text)
}
