/** The secrets of one provider by field: `apiKey`, a type's own fields, and `header:x-team` for constant headers. */
export type Credentials = Readonly<Record<string, string>>

/** Names a constant header among the credentials of a provider; header names are lower case. */
export const headerCredential = (name: string): string => `${headerPrefix}${name.toLowerCase()}`

/** The constant headers among credentials. */
export function headersOf(credentials: Credentials): Record<string, string> {
  return Object.fromEntries(
    Object.entries(credentials)
      .filter(([field]) => field.startsWith(headerPrefix))
      .map(([field, value]) => [field.slice(headerPrefix.length), value]),
  )
}

const headerPrefix = 'header:'
