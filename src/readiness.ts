/** Why this process should get no calls; empty when it should. What it says is for operators. */
export interface Readiness {
  reasons(): readonly string[]
  /** What keeps the process as a whole from serving: it starts, waits or drains; undefined when nothing does. */
  blockedBy(reason: string | undefined): void
  /** Adds a part that is asked each time. */
  ask(part: () => readonly string[]): void
  /** What else an operator may want to know; makes nothing unready. */
  detail(): object
  describe(part: () => object): void
}

export function createReadiness(): Readiness {
  let blocked: string | undefined = 'starting'
  const parts: (() => readonly string[])[] = []
  const details: (() => object)[] = []
  return {
    reasons: () => [...(blocked === undefined ? [] : [blocked]), ...parts.flatMap((part) => part())],
    blockedBy(reason) {
      blocked = reason
    },
    ask: (part) => void parts.push(part),
    detail: () => Object.assign({}, ...details.map((part) => part())),
    describe: (part) => void details.push(part),
  }
}
