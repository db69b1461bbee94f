import type { ChatEvent } from '../../chat/event.ts'
import { GatewayError } from '../../errors.ts'
import { parsedRequest } from '../../inference/call.ts'
import type { Cancellation } from '../../inference/cancellation.ts'
import type { Usage } from '../../usage/usage.ts'
import type { AttemptOutput, ExchangeFailure, ExchangeResult, Provider, UpstreamCall } from '../provider.ts'
import { answerTo } from './answer.ts'
import { embeddingsFor } from './embedding.ts'

export interface DemoSettings {
  name: string
  /** How fast an answer is written; 0 writes it at once. */
  tokensPerSecond: number
  /** How long it takes to begin. */
  latencyMs: number
  totalTimeoutMs: number
}

/**
 * Answers by itself, so that the first request needs no provider account: as slowly as a real one, with usage, and
 * for everything a client may ask for. Says of itself that it is a demo.
 */
export function createDemoProvider(settings: DemoSettings): Provider {
  return {
    name: settings.name,
    type: 'demo',
    totalTimeoutMs: settings.totalTimeoutMs,
    async exchange(call, output) {
      const pace = new Pace(call.cancellation)
      try {
        await pace.for(settings.latencyMs)
        if (call.cancellation.reason) return cancelled(call.cancellation.reason, 0)
        return call.operation === 'embeddings' ? embed(call) : await chat(call, output, settings.tokensPerSecond, pace)
      } finally {
        pace.close()
      }
    },
    close: () => Promise.resolve(),
  }
}

async function chat(
  call: UpstreamCall,
  output: AttemptOutput,
  tokensPerSecond: number,
  pace: Pace,
): Promise<ExchangeResult> {
  const { request, cancellation, requestId } = call
  const { choices } = request
  const outputTokensMax = request.outputTokensMax ?? call.outputTokensCap ?? Number.POSITIVE_INFINITY
  if (choices > choicesMax) return tooManyChoices
  const answer = answerTo(parsedRequest(request))
  const pieces = answer.pieces.slice(0, outputTokensMax)
  const isCut = pieces.length < answer.pieces.length
  const finish = isCut ? 'length' : answer.tool === undefined ? 'stop' : 'tool_calls'
  const id = `demo-${requestId}`
  const progress = { outputBytes: 0 }
  output.follow(progress)
  let keepsUp = output.event({ type: 'start', id, model: call.model, createdS: undefined })

  const startedMs = performance.now()
  for (let index = 0; index < choices; index++) {
    if (answer.tool !== undefined) {
      const callId = `call_${requestId.replaceAll('-', '')}${index}`
      keepsUp = output.event({ type: 'tool-call-start', index, toolIndex: 0, id: callId, name: answer.tool })
    }
    for (const [at, piece] of pieces.entries()) {
      if (tokensPerSecond > 0) {
        const dueMs = startedMs + ((index * pieces.length + at) * 1_000) / tokensPerSecond
        await pace.for(dueMs - performance.now())
      }
      if (!keepsUp) await pace.untilDrained(output)
      if (cancellation.reason) return cancelled(cancellation.reason, progress.outputBytes)
      keepsUp = output.event(deltaOf(piece, index, answer.tool))
      progress.outputBytes += Buffer.byteLength(piece)
    }
    keepsUp = output.event({ type: 'choice-end', index, reason: finish })
  }
  const usage = usageOf(request.inputTokensEstimate, pieces.length * choices)
  output.event({ type: 'usage', usage })
  return { ...answered, usage, finish, outputBytes: progress.outputBytes, providerResponseId: id }
}

const deltaOf = (piece: string, index: number, tool: string | undefined): ChatEvent =>
  tool === undefined
    ? { type: 'text-delta', index, text: piece }
    : { type: 'tool-call-delta', index, toolIndex: 0, arguments: piece }

function embed({ request, model }: UpstreamCall): ExchangeResult {
  const { encodingFormat, inputTokensEstimate } = request
  const { input, dimensions } = parsedRequest(request)
  const usage = usageOf(inputTokensEstimate, 0)
  const answer = {
    object: 'list',
    data: embeddingsFor(input, dimensions, encodingFormat),
    model,
    usage: { prompt_tokens: usage.inputTokens, total_tokens: usage.totalTokens },
  }
  return { ...answered, usage, finish: 'stop', tail: Buffer.from(JSON.stringify(answer)) }
}

const answered: ExchangeResult = {
  failure: undefined,
  usage: undefined,
  implausibleUsage: undefined,
  finish: undefined,
  outputBytes: 0,
  httpStatus: 200,
  providerResponseId: undefined,
  tail: undefined,
}

/** As at OpenAI; all of them are written in one go where the demo is fast. */
const choicesMax = 128

const tooManyChoices: ExchangeResult = {
  ...answered,
  failure: {
    error: new GatewayError('invalid_body', `"n" must be at most ${choicesMax}.`, { param: 'n' }),
    kind: 'refused',
    billing: 'not_billed',
    retryable: false,
    retryAfterMs: undefined,
  },
  httpStatus: 400,
}

function cancelled(error: GatewayError, outputBytes: number): ExchangeResult {
  const failure: ExchangeFailure = {
    error,
    kind: error.code === 'provider_timeout' ? 'timeout' : 'cancelled',
    billing: 'maybe_billed',
    retryable: false,
    retryAfterMs: undefined,
  }
  return { ...answered, failure, outputBytes }
}

function usageOf(input: number, output: number): Usage {
  return {
    units: { ...(input > 0 && { input }), ...(output > 0 && { output }) },
    inputTokens: input,
    outputTokens: output,
    totalTokens: input + output,
    serviceTier: 'default',
  }
}

/** Waits that end early when the call is cancelled, and leave nothing behind. */
class Pace {
  readonly #cancellation: Cancellation
  #timer: NodeJS.Timeout | undefined
  #resume: (() => void) | undefined

  constructor(cancellation: Cancellation) {
    this.#cancellation = cancellation
    cancellation.listen(() => this.#end())
  }

  for(ms: number): Promise<void> | undefined {
    // A timer cannot wait for less than a millisecond: tokens that are nearly due are written now.
    if (ms < 1 || this.#cancellation.reason) return undefined
    return new Promise((resolve) => {
      this.#resume = resolve
      this.#timer = setTimeout(() => this.#end(), ms)
    })
  }

  untilDrained(output: AttemptOutput): Promise<void> | undefined {
    if (this.#cancellation.reason) return undefined
    return new Promise((resolve) => {
      this.#resume = resolve
      output.onceDrained(() => this.#end())
    })
  }

  close(): void {
    this.#cancellation.listen(undefined)
    this.#end()
  }

  #end(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const resume = this.#resume
    this.#resume = undefined
    resume?.()
  }
}
