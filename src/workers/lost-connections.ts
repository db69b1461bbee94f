import type { Worker } from 'node:cluster'

interface HandOver {
  cmd?: unknown
  act?: unknown
  seq?: unknown
}

interface Acknowledgement {
  cmd?: unknown
  ack?: unknown
}

interface Handle {
  close(): void
}

/**
 * Closes the connections that were on their way to a worker when it died. The primary of `node:cluster` waits for the
 * worker's word that it has taken one, and for a dead one's for good: the client would hang instead of trying again. There
 * is no public way to them, so its messages are watched as they pass.
 */
export function closeLostConnections({ process: child }: Worker): void {
  const handedOver = new Map<unknown, Handle>()
  const send = child.send.bind(child) as (...given: unknown[]) => boolean
  child.send = (message: unknown, handle?: unknown, ...rest: unknown[]): boolean => {
    const { cmd, act, seq } = message as HandOver
    if (cmd === 'NODE_CLUSTER' && act === 'newconn' && handle) handedOver.set(seq, handle as Handle)
    return send(message, handle, ...rest)
  }
  child.on('internalMessage' as 'message', (message) => {
    const { cmd, ack } = message as Acknowledgement
    if (cmd === 'NODE_CLUSTER' && ack !== undefined) handedOver.delete(ack)
  })
  child.once('exit', () => {
    for (const handle of handedOver.values()) handle.close()
    handedOver.clear()
  })
}
