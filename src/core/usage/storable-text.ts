/** Visible ASCII without quotes and backslashes: nearly all names and ids. */
const plain = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/

/**
 * A string as JSON, for texts that are put together by hand because they are written at every request.
 * See `storable` for what cannot stand in it.
 */
export function storableText(value: string | null): string {
  if (value === null) return 'null'
  return plain.test(value) ? `"${value}"` : JSON.stringify(storable(value))
}

/**
 * PostgreSQL refuses U+0000 and lone surrogates, and a client chooses some of these strings (model, end user, tags):
 * they become U+FFFD here, or a client could make calls that can never be charged.
 */
export function storable(value: unknown): unknown {
  if (typeof value === 'string') return value.toWellFormed().replaceAll('\0', '\ufffd')
  if (Array.isArray(value)) return value.map(storable)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [storable(key), storable(item)]))
}
