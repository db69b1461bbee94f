import type { Clock } from '../clock.ts'
import { GatewayError } from '../errors.ts'
import type { Cancellation } from './cancellation.ts'

/** Calls of this process by the key that makes them, so that they can be ended with it. */
export interface CallsUnderWay {
  begin(keyId: string, cancellation: Cancellation): void
  end(keyId: string, cancellation: Cancellation): void
  /** Ends those of a key, and those that were let in and have yet to begin. */
  cancel(keyId: string): void
}

/** Longer than a client may take to send a body, which it does after it was let in. */
const remembersMs = 120_000

export function createCallsUnderWay({ monotonicMs }: Pick<Clock, 'monotonicMs'>): CallsUnderWay {
  const byKey = new Map<string, Set<Cancellation>>()
  const ended = new Map<string, number>()
  return {
    begin(keyId, cancellation) {
      if (ended.size > 0 && ended.has(keyId)) cancellation.cancel(keyEnded())
      const calls = byKey.get(keyId)
      if (calls) calls.add(cancellation)
      else byKey.set(keyId, new Set([cancellation]))
    },
    end(keyId, cancellation) {
      const calls = byKey.get(keyId)
      calls?.delete(cancellation)
      if (calls?.size === 0) byKey.delete(keyId)
    },
    cancel(keyId) {
      const nowMs = monotonicMs()
      for (const [other, untilMs] of ended) if (untilMs <= nowMs) ended.delete(other)
      ended.set(keyId, nowMs + remembersMs)
      for (const cancellation of [...(byKey.get(keyId) ?? [])]) cancellation.cancel(keyEnded())
    },
  }
}

const keyEnded = (): GatewayError =>
  new GatewayError(
    'key_revoked',
    'The API key was revoked, and its calls were ended. Ask an administrator for a new one.',
  )
