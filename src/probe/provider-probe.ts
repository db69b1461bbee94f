import { setTimeout as delay } from 'node:timers/promises'
import { GatewayError } from '../core/errors.ts'
import { Cancellation } from '../core/inference/cancellation.ts'
import { readInferenceRequest } from '../core/inference/read-inference-request.ts'
import type { Provider } from '../core/providers/provider.ts'
import { explainFailure } from './probe-verdict.ts'

export interface ProbeTarget {
  provider: Provider
  /** The upstream's name of it. */
  model: string
  operation: 'chat' | 'embeddings'
}

export interface ProbeResult {
  ok: boolean
  /** Sentences for an operator. */
  lines: readonly string[]
}

const probeMsMax = 30_000

/** One real call, as cheap as one can be: a word to embed, or a word to answer with one token. */
export async function probeProvider(
  { provider, model, operation }: ProbeTarget,
  newId: () => string,
  timeoutMs = probeMsMax,
): Promise<ProbeResult> {
  const body = operation === 'chat' ? { model, messages: [{ role: 'user', content: 'Hi' }] } : { model, input: 'Hi' }
  const cancellation = new Cancellation()
  const deadline = new AbortController()
  const late = new GatewayError('provider_timeout', `The provider did not answer within ${timeoutMs / 1_000} s.`)
  delay(timeoutMs, undefined, { signal: deadline.signal, ref: false }).then(
    () => cancellation.cancel(late),
    () => {},
  )
  const startedMs = performance.now()
  try {
    const { failure, httpStatus } = await provider.exchange(
      {
        requestId: newId(),
        operation,
        model,
        request: readInferenceRequest(operation, Buffer.from(JSON.stringify(body))),
        cancellation,
        remainingMs: timeoutMs,
        answerForm: 'any',
        outputTokensCap: operation === 'chat' ? 1 : undefined,
        modelOutputTokensMax: undefined,
      },
      ignored,
    )
    const ms = Math.round(performance.now() - startedMs)
    if (!failure)
      return { ok: true, lines: [`The provider ${provider.name} answered in ${ms} ms (${operation}, ${model}).`] }
    return explainFailure(failure, { name: provider.name, model, httpStatus })
  } finally {
    deadline.abort()
  }
}

/** What the provider says is of no interest, only that it says it. */
const ignored = { bytes: () => true, event: () => true, onceDrained: () => {}, follow: () => {} } as const
