import type { Labels } from './series.ts'

/** What is counted, by its labels: as many label sets as it may have, and one more, `other`, for all that come beyond. */
export class BoundedSeries<Value extends { labels: Labels }> {
  readonly #max: number
  readonly #create: (labels: Labels) => Value
  readonly #byKey = new Map<string, Value>()
  /** The one that was counted last: most requests are like the one before. */
  #recentKey = ''
  #recent: Value | undefined

  constructor(max: number, create: (labels: Labels) => Value) {
    this.#max = max
    this.#create = create
  }

  /** @param labels - always the same names, in the same order */
  of(labels: Labels): Value {
    let key = ''
    for (const name in labels) key += `${labels[name]}\u0000`
    if (this.#recent && this.#recentKey === key) return this.#recent
    const found = this.#byKey.get(key) ?? this.#open(key, labels)
    this.#recentKey = key
    this.#recent = found
    return found
  }

  all(): readonly Value[] {
    return [...this.#byKey.values()]
  }

  #open(key: string, labels: Labels): Value {
    const isOther = this.#byKey.size >= this.#max
    if (!isOther) return this.#keep(key, labels)
    const other = Object.fromEntries(Object.keys(labels).map((name) => [name, 'other']))
    return this.#byKey.get('other') ?? this.#keep('other', other)
  }

  #keep(key: string, labels: Labels): Value {
    const value = this.#create(labels)
    this.#byKey.set(key, value)
    return value
  }
}
