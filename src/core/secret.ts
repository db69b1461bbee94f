import { inspect } from 'node:util'

/**
 * A secret from the configuration. It prints as "[secret]" wherever a value is printed (JSON, logs, template strings,
 * the debugger's inspect), so that the only way to its text is a call that can be searched for.
 */
export class Secret {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  reveal(): string {
    return this.#text
  }

  toString(): string {
    return placeholder
  }

  toJSON(): string {
    return placeholder
  }

  [inspect.custom](): string {
    return placeholder
  }
}

const placeholder = '[secret]'
