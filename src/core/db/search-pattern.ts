/** For `ilike`: what holds the text anywhere, taken literally; null, which narrows nothing, without any. */
export const searchPattern = (search: string | undefined): string | null =>
  search === undefined ? null : `%${search.replace(/[\\%_]/g, '\\$&')}%`
