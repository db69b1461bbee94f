/** Repeatable choices: the same seed makes the same ones. */
export interface Random {
  /** From `min` up to and including `max`. */
  whole(min: number, max: number): number
  oneOf<T>(choices: readonly T[]): T
}

/** Mulberry32: small, and good enough to pick scenarios. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const whole = (min: number, max: number): number => min + Math.floor(next() * (max - min + 1))
  return {
    whole,
    oneOf: <T>(choices: readonly T[]): T => {
      if (choices.length === 0) throw new RangeError('There is nothing to choose from.')
      return choices[whole(0, choices.length - 1)] as T // within bounds
    },
  }
}
