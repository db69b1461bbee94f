import { GatewayError } from '../../src/core/errors.ts'
import type { ExchangeFailure, ExchangeResult, Provider, UpstreamCall } from '../../src/core/providers/provider.ts'
import type { Candidate } from '../../src/core/routing/route.ts'
import { inputNano, outputNano, type SimulatedCall } from './simulated-call.ts'
import type { SimulatedReplica } from './simulated-replica.ts'

/** Two upstreams of the same price, so that calls have somewhere to fall back to. */
export function simulatedCandidates(replica: SimulatedReplica): readonly Candidate[] {
  return ['first', 'second'].map((name) => {
    const provider = createSimulatedProvider(name, replica)
    const entry = {
      name: 'simulated',
      mode: 'chat',
      contextWindowTokens: undefined,
      maxOutputTokens: 4_000,
      price: replica.world.price,
      createdS: 0,
    }
    return {
      provider: {
        provider,
        name,
        passthroughModels: false,
        models: new Map(),
        findModel: () => entry,
        fingerprint: name,
      },
      model: 'simulated',
      entry,
      alias: 'simulated',
    }
  })
}

/** Answers when the scheduler says so, with whatever the seed has in store: its own bill is the truth. */
function createSimulatedProvider(name: string, replica: SimulatedReplica): Provider {
  const { world } = replica
  return {
    name,
    type: 'openai-compatible',
    totalTimeoutMs: 600_000,
    async exchange(call, output) {
      const known = world.calls.get(call.requestId) as SimulatedCall // the pipeline only knows calls from the world
      if (!known.intent) throw new Error('A call was dispatched before its intent was journaled.')
      known.isDispatched = true
      const startedMs = world.monotonicMs
      output.follow({
        get outputBytes() {
          return Math.min(200, Math.floor((world.monotonicMs - startedMs) / 20))
        },
      })
      const result = await answer(call)
      if (result.usage) {
        const { input = 0, output: outputTokens = 0 } = result.usage.units
        if (known.costNano !== undefined)
          known.costNano += BigInt(input) * inputNano + BigInt(outputTokens) * outputNano
      } else if (result.failure?.billing !== 'not_sent') known.costNano = undefined
      return result
    },
    close: async () => {},
  }

  async function answer({ cancellation }: UpstreamCall): Promise<ExchangeResult> {
    const cancelled = Promise.withResolvers<ExchangeResult>()
    const result = drawResult()
    cancellation.listen(() => cancelled.resolve(failed('cancelled', 'maybe_billed', false, 12)))
    try {
      const answered = world.operations.wait(replica, 'provider', async () => result, Number.POSITIVE_INFINITY)
      return await Promise.race([answered, cancelled.promise])
    } finally {
      cancellation.listen(undefined)
    }
  }

  function drawResult(): ExchangeResult {
    const { random } = world
    return random.weighted<() => ExchangeResult>([
      [10, () => used(random.int(1, 40), random.int(0, 100))],
      [3, () => used(40, 100)],
      [1, () => used(random.int(20, 60), random.int(90, 180))], // more than anybody could know
      [2, () => failed('connect', 'not_sent', true, 0)],
      [1, () => failed('status', 'maybe_billed', true, 0)],
      [1, () => failed('timeout', 'maybe_billed', true, 0)],
      [1, () => failed('cut', 'maybe_billed', false, random.int(1, 300))],
    ])()
  }
}

function used(input: number, output: number): ExchangeResult {
  const units = { input, output }
  const usage = {
    units,
    inputTokens: input,
    outputTokens: output,
    totalTokens: input + output,
    serviceTier: 'default',
  } as const
  return { ...empty, usage, finish: 'stop', outputBytes: 4 * output, httpStatus: 200 }
}

function failed(
  kind: ExchangeFailure['kind'],
  billing: ExchangeFailure['billing'],
  retryable: boolean,
  outputBytes: number,
): ExchangeResult {
  const error = new GatewayError('provider_error', 'Simulated.')
  return { ...empty, outputBytes, failure: { error, kind, billing, retryable, retryAfterMs: undefined } }
}

const empty: ExchangeResult = {
  failure: undefined,
  usage: undefined,
  implausibleUsage: undefined,
  finish: undefined,
  outputBytes: 0,
  httpStatus: undefined,
  providerResponseId: undefined,
  tail: undefined,
}
