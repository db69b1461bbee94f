import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'

/** A service account's key file has some 2 KiB. */
const secretBytesMax = 64 * 1024

/**
 * Reads one secret from the standard input: a line that is not shown where a person types it, else all there is,
 * without the newline at its end.
 *
 * @throws RangeError when it is longer than any credential
 */
export async function readSecret(input: NodeJS.ReadStream, prompt: (text: string) => void): Promise<string> {
  if (input.isTTY) {
    prompt('The secret (it is not shown): ')
    const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
    const lines = createInterface({ input, output: silent, terminal: true })
    try {
      return await lines.question('')
    } finally {
      lines.close()
      prompt('\n')
    }
  }
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of input) {
    chunks.push(Buffer.from(chunk))
    bytes += Buffer.byteLength(chunk)
    if (bytes > secretBytesMax) throw new RangeError(`The secret is longer than ${secretBytesMax} bytes.`)
  }
  return Buffer.concat(chunks)
    .toString('utf8')
    .replace(/\r?\n$/, '')
}
