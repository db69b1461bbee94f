import { eventually } from './eventually.ts'

/** The data of all frames of an event stream, comments left out; parsed but for `[DONE]`. */
export function framesOf(text: string): (Record<string, unknown> | '[DONE]')[] {
  return text
    .split(/\r?\n\r?\n/)
    .filter((frame) => frame.startsWith('data:'))
    .map((frame) => frame.slice(5).trim())
    .map((data) => (data === '[DONE]' ? data : JSON.parse(data)))
}

/** All text that the deltas of choice 0 add up to. */
export function contentOf(text: string): string {
  return framesOf(text)
    .flatMap((frame) => (frame === '[DONE]' ? [] : ((frame.choices as Choice[] | undefined) ?? [])))
    .map(({ delta }) => delta?.content ?? '')
    .join('')
}

interface Choice {
  delta?: { content?: string | null }
}

/** Reads a response bit by bit. */
export interface PartialReader {
  /** What has come so far. */
  readonly text: string
  /** Resolves once the text holds this. */
  until(part: string): Promise<void>
  /** Reads to the end; resolves also when the connection breaks. */
  rest(): Promise<string>
}

export function readPartially(response: Response): PartialReader {
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  const decoder = new TextDecoder()
  let text = ''
  const reading = (async () => {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return text
      text += decoder.decode(value, { stream: true })
    }
  })().catch(() => text)
  return {
    get text() {
      return text
    },
    until: async (part) => void (await eventually(`the answer to hold ${part}`, () => text.includes(part))),
    rest: () => reading,
  }
}
