import { InvalidArgumentError } from 'commander'
import { type NanoUsd, nanoUsdFromDollars } from '../core/money.ts'

/**
 * Reads dollars from a command line, exactly: whole ones, and up to nine decimals.
 *
 * @throws InvalidArgumentError
 */
export function dollars(text: string): NanoUsd {
  const read = /^\d{1,10}(?:\.\d{1,9})?$/.test(text) ? nanoUsdFromDollars(text) : undefined
  if (read !== undefined && read <= nanoMax) return read
  throw new InvalidArgumentError('Expected dollars from 0 to 1000000000, such as 20 or 0.5.')
}

const nanoMax = 1_000_000_000n * 1_000_000_000n
