/** Looking into JSON that somebody else wrote. */

export type JsonObject = Readonly<Record<string, unknown>>

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const nothing: JsonObject = {}

/** The object, or an empty one where there is none. */
export const recordOr = (value: unknown): JsonObject => (isRecord(value) ? value : nothing)

/** The objects in a list; of anything else, none. */
export const recordsIn = (value: unknown): Record<string, unknown>[] =>
  Array.isArray(value) ? value.filter(isRecord) : []

export const nonEmptyString = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined

/** @returns undefined when the text is not JSON, which has no way to say so itself */
export function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
