/** What went wrong, for the person who has typed the command: a sentence, no stack. */
export function reasonOf(error: unknown): string {
  // Connecting to a name with several addresses fails with one error for each, and no words of its own.
  if (error instanceof AggregateError && error.message === '') return error.errors.map(reasonOf).join('; ')
  return error instanceof Error ? error.message || error.name : String(error)
}
