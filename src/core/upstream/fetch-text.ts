import type { Dispatcher } from 'undici'
import type { UpstreamClient } from './upstream-client.ts'

const headersTimeoutMs = 30_000
const idleTimeoutMs = 30_000

/**
 * Reads a text over the guarded way out: no redirects, bounded in size.
 *
 * @throws Error, with a message fit to show, when the answer is not 200, too large, or does not come
 */
export async function fetchText(
  client: UpstreamClient,
  url: string,
  { maxBytes, signal }: { maxBytes: number; signal: AbortSignal },
): Promise<string> {
  const origin = client.openOrigin(url)
  try {
    return await new Promise<string>((resolve, reject) => {
      const chunks: Buffer[] = []
      let bytes = 0
      const handler: Dispatcher.DispatchHandler = {
        onRequestStart(controller) {
          signal.addEventListener('abort', () => controller.abort(new Error('It was given up.')))
        },
        onResponseStart(controller, status) {
          if (status !== 200) controller.abort(new Error(`The server answered ${status}.`))
        },
        onResponseData(controller, chunk) {
          bytes += chunk.length
          if (bytes > maxBytes) controller.abort(new Error(`The answer has more than ${maxBytes} bytes.`))
          else chunks.push(chunk)
        },
        onResponseEnd: () => resolve(Buffer.concat(chunks).toString('utf8')),
        onResponseError: (_controller, error) => reject(error),
      }
      const path = origin.pathPrefix || '/'
      const headers = ['accept-encoding', 'identity', 'user-agent', 'llmgw']
      origin.dispatch({ method: 'GET', path, headers, body: null, headersTimeoutMs, idleTimeoutMs }, handler)
    })
  } finally {
    await origin.close()
  }
}
