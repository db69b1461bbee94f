/**
 * The known name that was most likely meant.
 *
 * @returns undefined when none is closer than a third of its length: a wrong guess misleads more than none
 */
export function nearestName(given: string, known: readonly string[]): string | undefined {
  const target = comparable(given)
  let nearest: string | undefined
  let nearestDistance = Number.POSITIVE_INFINITY
  for (const name of known) {
    const distance = editDistance(target, comparable(name))
    if (distance <= Math.floor(name.length / 3) && distance < nearestDistance) {
      nearest = name
      nearestDistance = distance
    }
  }
  return nearest
}

/** `base_url` and `base-url` mean `baseUrl`. */
const comparable = (name: string): string => name.toLowerCase().replaceAll(/[_-]/g, '')

/** Levenshtein's distance: insertions, deletions and replacements of one character. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const replaced = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1)
      current.push(Math.min(replaced, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1))
    }
    previous = current
  }
  return previous[b.length] ?? 0
}
