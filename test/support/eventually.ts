import { setTimeout as delay } from 'node:timers/promises'

const pollMs = 10

/**
 * Waits until `read` gives something that is neither undefined nor false.
 *
 * @param what - what the test waits for, for whoever reads that it never came
 */
export async function eventually<T>(
  what: string,
  read: () => T | undefined | false | Promise<T | undefined | false>,
  msMax = 10_000,
): Promise<T> {
  const deadlineMs = performance.now() + msMax
  for (;;) {
    const value = await read()
    if (value !== undefined && value !== false) return value
    if (performance.now() > deadlineMs) throw new Error(`Waited ${msMax} ms in vain for ${what}.`)
    await delay(pollMs)
  }
}
