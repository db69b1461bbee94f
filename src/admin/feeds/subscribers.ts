import { Mailbox } from './mailbox.ts'

/** Those who watch one thing, each with what they want of it. */
export class Subscribers<Item, Wish> {
  readonly #members = new Map<Mailbox<Item>, Wish>()
  readonly #changed: ((count: number) => void) | undefined

  /** @param changed - told how many there are */
  constructor(changed?: (count: number) => void) {
    this.#changed = changed
  }

  add(wish: Wish, { tooSlow }: { tooSlow(): void }): Mailbox<Item> {
    const mailbox: Mailbox<Item> = new Mailbox({
      closed: () => {
        this.#members.delete(mailbox)
        this.#changed?.(this.#members.size)
      },
      tooSlow,
    })
    this.#members.set(mailbox, wish)
    this.#changed?.(this.#members.size)
    return mailbox
  }

  get size(): number {
    return this.#members.size
  }

  tell(itemsFor: (wish: Wish) => readonly Item[]): void {
    for (const [mailbox, wish] of [...this.#members]) mailbox.put(itemsFor(wish))
  }

  close(): void {
    for (const mailbox of [...this.#members.keys()]) mailbox.end()
  }
}
