import { readdir } from 'node:fs/promises'

/**
 * Owners that have left a journal here and are not among those of this start: workers that are no longer started, or
 * the single process that served before there were workers. What they left is for somebody else to adopt.
 *
 * @param path - the folder of all journals of a data folder
 */
export async function formerJournalOwners(path: string, owners: readonly string[]): Promise<string[]> {
  let entries: { name: string; isDirectory(): boolean }[]
  try {
    entries = await readdir(path, { withFileTypes: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [] // the first start makes it
    throw error
  }
  return entries
    .filter((entry) => entry.isDirectory() && !owners.includes(entry.name))
    .map(({ name }) => name)
    .sort()
}
