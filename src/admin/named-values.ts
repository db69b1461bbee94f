import { badInput } from './errors.ts'

/** A list of names and values as an object. */
export function byName<Given extends { name: string }, Value>(
  given: readonly Given[],
  read: (one: Given) => Value,
): Record<string, Value> {
  if (new Set(given.map(({ name }) => name)).size < given.length) throw badInput('A name stands there twice.')
  return Object.fromEntries(given.map((one) => [one.name, read(one)]))
}

/** @throws GraphQLError BAD_USER_INPUT */
export function jsonIn(text: string, where: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw badInput(`The value of ${where} is no JSON; text stands in quotes.`)
  }
}
