import type { Cancellation } from '../../src/core/inference/cancellation.ts'
import type { Caller } from '../../src/core/keys/caller.ts'
import type { UsageEnd, UsageIntent } from '../../src/core/usage/usage-record.ts'
import type { SimulatedReplica } from './simulated-replica.ts'

/** A call as the world outside the gateway knows it. */
export interface SimulatedCall {
  id: string
  caller: Caller
  replica: SimulatedReplica
  /** When it arrived, by database time. */
  arrivedMs: number
  cancellation: Cancellation
  /** The provider has seen it. */
  isDispatched: boolean
  /** The client has got the end of its answer, an error included. */
  isOver: boolean
  refusal: string | undefined
  /** What the provider charges for it; undefined when it tells nobody. */
  costNano: bigint | undefined
  intent: UsageIntent | undefined
  end: UsageEnd | undefined
}

/** Nano-USD a token. */
export const inputNano = 1n
export const outputNano = 2n
