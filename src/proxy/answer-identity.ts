/** The first 48 bits of a UUIDv7 are Unix milliseconds. */
export function secondsOf(uuidV7: string): number {
  const ms = Number.parseInt(uuidV7.slice(0, 8) + uuidV7.slice(9, 13), 16)
  return Number.isNaN(ms) ? 0 : Math.floor(ms / 1_000)
}
