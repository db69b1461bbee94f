/**
 * What one subscriber has yet to take. Whoever stays behind is not waited for: with more than a hundred events unread, and
 * some of them old, its socket is closed, and nothing of it is kept.
 */
export class Mailbox<Item> implements AsyncIterableIterator<Item, undefined> {
  #items: Item[] = []
  #wake: (() => void) | undefined
  #isOver = false
  #behindSinceMs: number | undefined
  readonly #closed: () => void
  readonly #tooSlow: () => void

  /**
   * @param closed - told once, when nobody reads any more
   * @param tooSlow - closes the socket
   */
  constructor({ closed, tooSlow }: { closed(): void; tooSlow(): void }) {
    this.#closed = closed
    this.#tooSlow = tooSlow
  }

  put(items: readonly Item[]): void {
    if (this.#isOver || items.length === 0) return
    this.#items.push(...items)
    const nowMs = performance.now()
    if (this.#items.length <= unreadMax) this.#behindSinceMs = undefined
    else this.#behindSinceMs ??= nowMs
    const behindMs = nowMs - (this.#behindSinceMs ?? nowMs)
    if (behindMs > behindMsMax || this.#items.length > unreadMaxAtOnce) {
      this.end()
      this.#tooSlow()
    } else this.#wake?.()
  }

  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#items = []
    this.#wake?.()
    this.#closed()
  }

  async next(): Promise<IteratorResult<Item, undefined>> {
    for (;;) {
      if (this.#isOver) return { done: true, value: undefined }
      const item = this.#items.shift()
      if (item !== undefined) {
        if (this.#items.length <= unreadMax) this.#behindSinceMs = undefined
        return { done: false, value: item }
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** By hand, for a generator that waits cannot be told to end. */
  async return(): Promise<IteratorResult<Item, undefined>> {
    this.end()
    return { done: true, value: undefined }
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

const unreadMax = 100
const behindMsMax = 2_000
const unreadMaxAtOnce = 2_000
