let lastMs = Number.NaN
let lastText = ''

/**
 * A moment as ISO 8601 in UTC. Many in a row are the same millisecond when there is much to do, and building the text
 * costs more than most other parts of a record.
 *
 * @param ms - whole milliseconds since the epoch
 */
export function isoTime(ms: number): string {
  if (ms !== lastMs) {
    lastText = new Date(ms).toISOString()
    lastMs = ms
  }
  return lastText
}
