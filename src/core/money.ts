/** Money: integers of 10⁻⁹ US dollars. No floating point touches it between a price list and the ledger. */
export type NanoUsd = bigint & { readonly unit: 'nano-usd' }

export const nanoUsd = (value: bigint): NanoUsd => value as NanoUsd
export const zeroNanoUsd: NanoUsd = nanoUsd(0n)

/**
 * Reads a decimal exactly and scales it by a power of ten.
 *
 * @param value - a finite number or a decimal string, exponents allowed (`1.5e-7`)
 * @param scale - how many decimal places the integer has; 9 reads dollars as nano-dollars
 * @returns the integer nearest to `value · 10^scale`, halves away from zero
 * @throws RangeError when the value is not a finite decimal
 */
export function scaledInteger(value: number | string, scale: number): bigint {
  const match = /^([+-]?)(\d+)(?:\.(\d*))?(?:e([+-]?\d{1,4}))?$/i.exec(String(value).trim())
  if (!match) throw new RangeError(`Not a decimal number: ${String(value).slice(0, 40)}`)
  const [, sign, whole = '', fraction = '', exponent = '0'] = match
  const digits = BigInt(whole + fraction)
  const shift = scale + Number(exponent) - fraction.length
  const magnitude = shift >= 0 ? digits * 10n ** BigInt(shift) : divideRoundingHalfUp(digits, 10n ** BigInt(-shift))
  return sign === '-' ? -magnitude : magnitude
}

/** Dollars, as an operator writes them, in nano-dollars. */
export function nanoUsdFromDollars(dollars: number | string): NanoUsd {
  return nanoUsd(scaledInteger(dollars, 9))
}

/** Nano-dollars as a decimal dollar string without trailing zeros, e.g. `0.00015`. */
export function formatUsd(amount: bigint): string {
  const magnitude = amount < 0n ? -amount : amount
  const fraction = (magnitude % 1_000_000_000n).toString().padStart(9, '0').replace(/0+$/, '')
  const whole = (magnitude / 1_000_000_000n).toString()
  return `${amount < 0n ? '-' : ''}${whole}${fraction ? `.${fraction}` : ''}`
}

function divideRoundingHalfUp(dividend: bigint, divisor: bigint): bigint {
  return (dividend * 2n + divisor) / (divisor * 2n)
}
