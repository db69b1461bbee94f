import { randomBytes } from 'node:crypto'

/**
 * Names one start of a process, as `<host>-<8 hexadecimal digits>`. Host and pid would not do: containers share host
 * names and mostly have pid 1, and a restart must not be taken for the process before it.
 */
export function createReplicaId(host: string): string {
  return `${host}-${randomBytes(4).toString('hex')}`
}
