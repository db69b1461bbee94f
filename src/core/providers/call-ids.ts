/**
 * Ids of tool calls in a form that an upstream accepts: histories hold ids of other providers, which may have dots,
 * colons or any length. An id keeps its name where it can, and two never share one.
 */
export class CallIds {
  readonly #byOriginal = new Map<string, string>()
  readonly #taken = new Set<string>()
  readonly #lengthMax: number

  constructor(lengthMax: number) {
    this.#lengthMax = lengthMax
  }

  /** @returns only letters, digits, underscores and dashes */
  of(original: string): string {
    const known = this.#byOriginal.get(original)
    if (known !== undefined) return known
    const base = original.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, this.#lengthMax)
    let id = base
    for (let number = 2; this.#taken.has(id); number++) {
      const suffix = `_${number}`
      id = base.slice(0, this.#lengthMax - suffix.length) + suffix
    }
    this.#byOriginal.set(original, id)
    this.#taken.add(id)
    return id
  }
}
