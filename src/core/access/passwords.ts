import { randomBytes } from 'node:crypto'
import { hash, verify } from '@node-rs/argon2'

/** argon2id: 64 MiB, three passes. What was hashed with less is hashed anew when its owner signs in. */
const parameters = { algorithm: 2, memoryCost: 65_536, timeCost: 3, parallelism: 1, outputLen: 32 } as const
const atOnceMax = 4
const waitingMax = 32

/** Too many passwords are being checked; none of them was looked at. */
export class PasswordsBusy extends Error {}

/** Hashes secrets that people choose, or that are as rare as sign-ins. A hash takes some 60 ms and 64 MiB, so few run at once. */
export interface Passwords {
  /** @throws PasswordsBusy */
  hash(secret: string): Promise<string>
  /**
   * @param stored - undefined for an account that is not there: takes as long as if it were, and fails
   * @throws PasswordsBusy
   */
  verify(secret: string, stored: string | undefined): Promise<{ ok: boolean; isOutdated: boolean }>
}

export function createPasswords(): Passwords {
  let running = 0
  const waiting: (() => void)[] = []
  let dummy: Promise<string> | undefined

  const inTurn = async <T>(work: () => Promise<T>): Promise<T> => {
    if (running >= atOnceMax) {
      if (waiting.length >= waitingMax) throw new PasswordsBusy('Too many passwords are being checked.')
      await new Promise<void>((resolve) => waiting.push(resolve))
    } else {
      running++
    }
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next) next()
      else running--
    }
  }
  const hashed = (secret: string): Promise<string> => hash(secret, { ...parameters, salt: randomBytes(16) })

  return {
    hash: (secret) => inTurn(() => hashed(secret)),
    verify: (secret, stored) =>
      inTurn(async () => {
        dummy ??= hashed(randomBytes(16).toString('hex'))
        // Of a hash that cannot be read, nothing is true.
        const ok = await verify(stored ?? (await dummy), secret).catch(() => false)
        return { ok: ok && stored !== undefined, isOutdated: stored !== undefined && isOutdated(stored) }
      }),
  }
}

const isOutdated = (stored: string): boolean =>
  !stored.startsWith(`$argon2id$v=19$m=${parameters.memoryCost},t=${parameters.timeCost},p=${parameters.parallelism}$`)
