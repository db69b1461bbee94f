/** `FAULTS=long` runs everything at full length: minutes rather than seconds. */
export const isLong = process.env.FAULTS === 'long'

/** @returns the first of them in an ordinary run, the second in a long one */
export const shortOrLong = <T>(short: T, long: T): T => (isLong ? long : short)
