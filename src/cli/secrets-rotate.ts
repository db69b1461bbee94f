import type { Rotated } from '../core/secrets/rotate.store.ts'

export interface RotateCommandDeps {
  rotate(progress: (rewrapped: number) => void): Promise<Rotated>
  print(line: string): void
}

/** @returns the exit status: 1 when something could not be wrapped anew, and the earlier key stays for it */
export async function rotateSecretsCommand({ rotate, print }: RotateCommandDeps): Promise<0 | 1> {
  const { rewrapped, alreadyCurrent, unreadable, retired } = await rotate((done) => print(`${done} rewrapped so far`))
  print(`${keys(rewrapped)} rewrapped, ${alreadyCurrent} under the current key already.`)
  for (const { provider, field, reason } of unreadable) print(`The credential ${field} of ${provider}: ${reason}`)
  if (unreadable.length > 0) {
    print(
      `${unreadable.length} could not be opened. Enter them again (llmgw providers set-credential), then run this again; ` +
        'the earlier master key is still needed until then.',
    )
    return 1
  }
  print(
    retired === undefined
      ? 'The master key at hand is the one in force; no key was retired.'
      : `The key ${retired} is retired: its master key opens nothing any more, and can go from LLMGW_PREVIOUS_MASTER_KEYS.`,
  )
  return 0
}

const keys = (count: number): string => `${count} data ${count === 1 ? 'key' : 'keys'}`
