import {
  type BedrockRuntimeClient,
  ConverseCommand,
  ConverseStreamCommand,
  InvokeModelCommand,
} from '@aws-sdk/client-bedrock-runtime'
import { readChatRequest } from '../../chat/read-request.ts'
import type { UnsupportedParameters } from '../../chat/request.ts'
import { parsedRequest } from '../../inference/call.ts'
import { type AnswerFacts, noFacts } from '../answer-reader.ts'
import { readEmbeddingsRequest } from '../embeddings-answer.ts'
import { malformedFailure } from '../failures.ts'
import type { JsonObject } from '../json.ts'
import type {
  AttemptOutput,
  ExchangeFailure,
  ExchangeResult,
  Provider,
  ProviderTimeouts,
  UpstreamCall,
} from '../provider.ts'
import { ConverseEvents } from './converse-events.ts'
import { decodeInvocations, type Invocation, toInvocations } from './embeddings.ts'
import { bedrockFailure } from './errors.ts'
import { type Patience, startPatience } from './patience.ts'
import { toConverse } from './to-upstream.ts'

export interface BedrockProviderOptions {
  name: string
  timeouts: ProviderTimeouts
  client: BedrockRuntimeClient
  unsupportedParameters: UnsupportedParameters
  /** Replaced wherever they are echoed. */
  secrets: readonly string[]
  close(): void
}

interface Outcome {
  failure: ExchangeFailure | undefined
  facts: AnswerFacts
  tail: Buffer | undefined
}

/** Amazon Bedrock through the AWS SDK, which signs requests and takes its binary streams apart. */
export function createBedrockProvider(options: BedrockProviderOptions): Provider {
  const { name, timeouts, client, secrets } = options
  return {
    name,
    type: 'bedrock',
    totalTimeoutMs: timeouts.totalMs,
    async exchange(call, output) {
      const run = exchangeOf(options, call, output)
      const patience = startPatience(call.cancellation, {
        firstByteMs: Math.min(timeouts.firstByteMs, call.remainingMs),
        idleMs: Math.min(timeouts.idleMs, call.remainingMs),
      })
      const seen: Seen = { status: undefined, requestId: undefined, inStream: false }
      try {
        if (call.cancellation.reason)
          return resultOf({ failure: patience.ended(), facts: noFacts(), tail: undefined }, seen)
        return resultOf(await run(client, patience, seen), seen)
      } catch (thrown) {
        const failure = patience.ended() ?? bedrockFailure(thrown, seen.inStream, secrets)
        seen.status ??= statusIn(thrown)
        return resultOf({ failure, facts: seen.facts ?? noFacts(), tail: undefined }, seen)
      } finally {
        patience.end()
      }
    },
    async close() {
      client.destroy()
      options.close()
    },
  }
}

/** What is known of an exchange that may end in an exception. */
interface Seen {
  status: number | undefined
  requestId: string | undefined
  /** The answer had begun with status 200. */
  inStream: boolean
  facts?: AnswerFacts
}

type Run = (client: BedrockRuntimeClient, patience: Patience, seen: Seen) => Promise<Outcome>

/** @throws GatewayError for what cannot be said to Bedrock */
function exchangeOf(options: BedrockProviderOptions, call: UpstreamCall, output: AttemptOutput): Run {
  if (call.operation === 'embeddings') return embed(call)
  const { request, answerTool } = toConverse(readChatRequest(parsedRequest(call.request)), {
    model: call.model,
    outputTokensMax: call.outputTokensCap,
    unsupportedParameters: options.unsupportedParameters,
  })
  const events = new ConverseEvents(answerTool)
  output.follow(events.facts)
  return call.request.stream
    ? async (client, patience, seen) => {
        const { stream, $metadata } = await client.send(new ConverseStreamCommand(request), {
          abortSignal: patience.signal,
        })
        saw(seen, $metadata, events.facts)
        if (!stream)
          return { failure: malformedFailure('a body that is no event stream'), facts: events.facts, tail: undefined }
        for await (const event of stream) {
          patience.heard()
          events.take(event as unknown as JsonObject)
          if (!pass(events, output)) {
            patience.pause()
            await drained(output, patience.signal)
            patience.heard()
          }
        }
        const failure = patience.ended() ?? events.finish()
        if (!failure) pass(events, output)
        return { failure, facts: events.facts, tail: undefined }
      }
    : async (client, patience, seen) => {
        const answer = await client.send(new ConverseCommand(request), { abortSignal: patience.signal })
        saw(seen, answer.$metadata, events.facts)
        const failure = events.takeWhole(answer as unknown as JsonObject) ?? events.finish()
        if (!failure) pass(events, output)
        return { failure, facts: events.facts, tail: undefined }
      }
}

function pass(events: ConverseEvents, output: AttemptOutput): boolean {
  let keepsUp = true
  for (const event of events.taken()) keepsUp = output.event(event)
  return keepsUp
}

/** Resolves when the reader has caught up, or nobody waits for it any more. */
const drained = (output: AttemptOutput, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const resume = (): void => {
      signal.removeEventListener('abort', resume)
      resolve()
    }
    signal.addEventListener('abort', resume)
    output.onceDrained(resume)
  })

/** So many are asked for at once of a model that takes one text at a time. */
const invocationsAtOnce = 8

function embed({ request, model }: UpstreamCall): Run {
  const embeddings = readEmbeddingsRequest(request, 'Bedrock')
  const bodies = toInvocations(embeddings, model)
  const { encodingFormat } = request
  return async (client, patience, seen) => {
    const invocations: Invocation[] = []
    for (let at = 0; at < bodies.length; at += invocationsAtOnce) {
      const some = bodies.slice(at, at + invocationsAtOnce)
      invocations.push(...(await Promise.all(some.map((body) => invoke(client, model, body, patience, seen)))))
      patience.heard()
    }
    return decodeInvocations(invocations, { model, count: embeddings.texts.length, encodingFormat })
  }
}

async function invoke(
  client: BedrockRuntimeClient,
  modelId: string,
  body: JsonObject,
  patience: Patience,
  seen: Seen,
): Promise<Invocation> {
  const command = new InvokeModelCommand({
    modelId,
    contentType: 'application/json',
    accept: 'application/json',
    body: JSON.stringify(body),
  })
  let inputTokens: number | undefined
  command.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args)
      const { headers } = result.response as { headers?: Record<string, string> }
      const counted = Number(headers?.['x-amzn-bedrock-input-token-count'])
      if (counted > 0) inputTokens = counted
      return result
    },
    { step: 'deserialize', priority: 'low' },
  )
  const answer = await client.send(command, { abortSignal: patience.signal })
  seen.status = answer.$metadata.httpStatusCode
  seen.requestId ??= answer.$metadata.requestId
  return { body: answer.body ?? new Uint8Array(), inputTokens }
}

function saw(
  seen: Seen,
  metadata: { httpStatusCode?: number | undefined; requestId?: string | undefined },
  facts: AnswerFacts,
): void {
  seen.status = metadata.httpStatusCode
  seen.requestId = metadata.requestId
  seen.inStream = true
  seen.facts = facts
}

const statusIn = (thrown: unknown): number | undefined =>
  (thrown as { $metadata?: { httpStatusCode?: number } } | undefined)?.$metadata?.httpStatusCode

function resultOf({ failure, facts, tail }: Outcome, { status, requestId }: Seen): ExchangeResult {
  const { usage, implausibleUsage, finish, oddFinish, outputBytes } = facts
  return {
    failure,
    usage,
    implausibleUsage,
    finish,
    oddFinish,
    outputBytes,
    httpStatus: status,
    providerResponseId: requestId,
    tail,
  }
}
