const similarMax = 3
const editsMax = 2
const lengthMax = 100

/** A name, and what is compared of it: letters and digits in lower case. */
export interface ComparableName {
  readonly name: string
  readonly plain: string
}

export const comparable = (name: string): ComparableName => ({ name, plain: plainOf(name) })

/**
 * What somebody may have meant: names that differ in case and punctuation only, else those at most two typing errors
 * away, else names that the given one begins or ends. Costs a millisecond or two for a few thousand names, so a client that
 * keeps asking for what is not there does not hold up others.
 *
 * @param mayShow - asked about similar names only, the best first
 * @returns at most three names
 */
export function similarNames(
  name: string,
  names: readonly ComparableName[],
  mayShow: (name: string) => boolean,
): string[] {
  const wanted = name.length > lengthMax ? '' : plainOf(name)
  if (wanted === '') return []
  const found: { name: string; rank: number }[] = []
  for (const each of names) {
    const rank = rankOf(wanted, each.plain)
    if (rank !== undefined) found.push({ name: each.name, rank })
  }
  found.sort((a, b) => a.rank - b.rank || a.name.length - b.name.length)
  const shown: string[] = []
  for (const each of found) {
    if (mayShow(each.name)) shown.push(each.name)
    if (shown.length === similarMax) break
  }
  return shown
}

function rankOf(wanted: string, offered: string): number | undefined {
  const edits = editsBetween(wanted, offered)
  if (edits !== undefined) return edits
  if (wanted.length >= 3 && (offered.startsWith(wanted) || offered.endsWith(wanted))) return editsMax + 1
  return undefined
}

const plainOf = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, '')

/** Levenshtein's distance where it matters; undefined when it is more than `editsMax` or the names are that short. */
function editsBetween(a: string, b: string): number | undefined {
  if (a === b) return 0
  if (Math.abs(a.length - b.length) > editsMax || Math.min(a.length, b.length) <= editsMax) return undefined
  // What is equal at both ends costs nothing, and between model names that is most of it.
  let start = 0
  while (start < a.length && start < b.length && a.charCodeAt(start) === b.charCodeAt(start)) start++
  let cut = 0
  const cutMax = Math.min(a.length, b.length) - start
  while (cut < cutMax && a.charCodeAt(a.length - 1 - cut) === b.charCodeAt(b.length - 1 - cut)) cut++
  return editsWithinBand(a.slice(start, a.length - cut), b.slice(start, b.length - cut))
}

/** The usual table, of which only the cells within `editsMax` of the diagonal can matter. */
function editsWithinBand(a: string, b: string): number | undefined {
  let above = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const current = new Array<number>(b.length + 1).fill(editsMax + 1)
    if (row <= editsMax) current[0] = row
    let best = current[0] as number
    for (let column = Math.max(1, row - editsMax); column <= Math.min(b.length, row + editsMax); column++) {
      const replaced = (above[column - 1] as number) + (a[row - 1] === b[column - 1] ? 0 : 1)
      const edits = Math.min(replaced, (above[column] as number) + 1, (current[column - 1] as number) + 1)
      current[column] = edits
      if (edits < best) best = edits
    }
    if (best > editsMax) return undefined
    above = current
  }
  const edits = above[b.length] as number
  return edits <= editsMax ? edits : undefined
}
