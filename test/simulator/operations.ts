import { runWithRealTimers } from './simulated-timers.ts'
import { Violation } from './violation.ts'

/** Something that a replica asked of the world and waits for: the scheduler decides when it happens, and how. */
export interface Operation {
  readonly name: string
  /** Undefined for what outlives its replica: a statement that is already on its way. */
  owner: OperationOwner | undefined
  /** Its place among all of the world, whichever of several replicas came first in real time. */
  readonly order: readonly [owner: number, number: number]
  readonly sentMs: number
  /** After so long its client no longer waits. */
  readonly timeoutMs: number
  /** `sent` has not happened yet; `done` has, and its answer is on the way; `late` happens though nobody waits for it. */
  state: 'sent' | 'done' | 'late'
  /** Makes it happen. */
  execute(): Promise<void>
  /** Hands its answer to whoever waits. */
  deliver(): void
  fail(): void
}

export interface OperationOwner {
  readonly number: number
  /** How many operations it has begun. */
  operations: number
}

/** What all replicas of a world wait for. */
export class Operations {
  readonly pending = new Set<Operation>()
  /** Something has happened since somebody last looked. */
  hasHappened = false
  readonly #nowMs: () => number

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /**
   * Waits until the scheduler has made it happen.
   *
   * @throws a lost connection, when the scheduler says so
   */
  wait<T>(owner: OperationOwner, name: string, work: () => Promise<T>, timeoutMs = 2_500): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let settle = (): void => {}
      const operation: Operation = {
        name,
        owner,
        order: [owner.number, owner.operations++],
        sentMs: this.#nowMs(),
        timeoutMs,
        state: 'sent',
        execute: async () => {
          this.hasHappened = true
          try {
            const value = await runWithRealTimers(work)
            settle = () => resolve(value)
          } catch (error) {
            if (error instanceof Violation) throw error // for us, and not for the replica to deal with
            settle = () => reject(error)
          }
          if (operation.state === 'late') this.pending.delete(operation)
          else operation.state = 'done'
        },
        deliver: () => {
          this.pending.delete(operation)
          settle()
        },
        fail: () => {
          this.pending.delete(operation)
          reject(new Error(`The connection was lost (simulated, ${name}).`))
        },
      }
      this.pending.add(operation)
    })
  }

  inOrder(): Operation[] {
    return [...this.pending].sort((a, b) => a.order[0] - b.order[0] || a.order[1] - b.order[1])
  }

  /** Whoever waited is gone. What had been sent may still happen. */
  abandon(owner: OperationOwner, mayStillHappen: (operation: Operation) => boolean): void {
    for (const operation of this.inOrder()) {
      if (operation.owner !== owner) continue
      if (operation.state === 'sent' && mayStillHappen(operation)) operation.state = 'late'
      else if (operation.state !== 'late') this.pending.delete(operation)
      operation.owner = undefined
    }
  }
}
