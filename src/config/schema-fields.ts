import { z } from 'zod'
import { scaledInteger } from '../core/money.ts'
import { Secret } from '../core/secret.ts'

/** The kinds of fields that several schemas share. `type` in a schema's metadata is what the reference calls it. */

/** @returns what is wrong with a secret's text, in words that do not repeat it, or undefined */
export type SecretCheck = (text: string) => string | undefined

/** Text, or `{ fromFile: path }`, which is already read when the schema sees it. */
export function secretField(check: SecretCheck) {
  return z
    .unknown()
    .transform((given, context) => {
      const text = given instanceof Secret ? given.reveal() : given
      const message = typeof text === 'string' ? check(text) : 'expected text (in quotes), or { fromFile: path }'
      if (typeof text === 'string' && message === undefined) return new Secret(text)
      context.addIssue({ code: 'custom', message })
      return z.NEVER
    })
    .meta({ type: 'secret' })
}

/** A credential that travels in a header. */
export const credentialCheck: SecretCheck = (text) =>
  /^[\x21-\x7e]{1,8192}$/.test(text) ? undefined : 'expected 1 to 8192 visible ASCII characters'

export const headerValueCheck: SecretCheck = (text) =>
  /^[\x20-\x7e]{1,8192}$/.test(text) ? undefined : 'expected 1 to 8192 printable ASCII characters'

/**
 * An amount of dollars, read exactly: a number, or text when the file format would round it.
 *
 * @returns nano-dollars, as bigint
 */
export function usdField(usdMax: number) {
  return z
    .unknown()
    .transform((given, context) => {
      const nano = typeof given === 'number' || typeof given === 'string' ? exactNano(given) : undefined
      if (nano !== undefined && nano >= 0n && nano <= BigInt(usdMax) * 1_000_000_000n) return nano
      context.addIssue({ code: 'custom', message: `expected dollars from 0 to ${usdMax}, with at most 9 decimals` })
      return z.NEVER
    })
    .meta({ type: 'dollars' })
}

const guardDigits = 40

/** @returns undefined when the value is no decimal, or finer than a nano-dollar */
function exactNano(given: number | string): bigint | undefined {
  // Longer text is no price; it would only make big integers.
  if (String(given).length > 40) return undefined
  try {
    const nano = scaledInteger(given, 9)
    return scaledInteger(given, 9 + guardDigits) === nano * 10n ** BigInt(guardDigits) ? nano : undefined
  } catch {
    return undefined // scaledInteger's RangeError: not a decimal
  }
}

/**
 * The address of an upstream. Whether its host may be reached depends on LLMGW_PRIVATE_UPSTREAMS and is checked apart.
 *
 * @returns without a slash at the end
 */
export function baseUrlField() {
  return z
    .string()
    .transform((text, context) => {
      const url = baseUrlOf(text)
      if (url !== undefined) return url.href.replace(/\/+$/, '')
      context.addIssue({
        code: 'custom',
        message: 'expected an https:// URL without user, password, query and fragment',
      })
      return z.NEVER
    })
    .meta({ type: 'URL' })
}

export function baseUrlOf(text: string): URL | undefined {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) return undefined
  // An empty query or fragment leaves no trace in the parsed URL.
  return url.username || url.password || /[?#]/.test(text) ? undefined : url
}

/** A point in time. @returns milliseconds since the epoch */
export function timeField() {
  return z.iso
    .datetime({ offset: true, error: 'expected a time with its zone, such as 2027-01-31T00:00:00Z' })
    .transform((text) => Date.parse(text))
    .meta({ type: 'time' })
}

/** Names of providers: they stand before the slash in `openai/gpt-4o-mini`, and in metrics. */
export const providerName = () =>
  z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'expected 1 to 64 letters, digits, dots, dashes and underscores')

/** Names of models and aliases, as clients write them. */
export const modelName = () => z.string().regex(/^[\x21-\x7e]{1,200}$/, 'expected 1 to 200 visible ASCII characters')

/** Names and descriptions that people read. */
export const label = (lengthMax: number) =>
  z
    .string()
    .regex(
      new RegExp(`^(?! )[^\\p{Cc}]{1,${lengthMax}}(?<! )$`, 'u'),
      `expected 1 to ${lengthMax} characters on one line, without spaces around them`,
    )

export const slug = () =>
  z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'expected 1 to 63 lower-case letters, digits and dashes')

export const wholeNumber = (min: number, max: number) => z.int().min(min).max(max)

const secondMs = 1_000
const dayMs = 86_400 * secondMs
export const durationMs = (min = 1) => wholeNumber(min, dayMs)

/** Any name will do, as long as replicas and targets use the same. */
export const regionName = () =>
  z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'expected a name such as eu-central-1')
