import type { ChatRequest, FunctionTool, ToolChoice, UnsupportedParameters } from '../../chat/request.ts'
import { refuseUnsupported } from '../../chat/unsupported.ts'
import { GatewayError } from '../../errors.ts'
import type { JsonObject } from '../json.ts'
import { toContents } from './contents.ts'
import { generationOf, thinkingConfigOf } from './thinking.ts'

export interface ToGeminiOptions {
  model: string
  service: 'gemini' | 'vertex'
  /** Tokens, where the client names no cap and a budget needs one. */
  outputTokensMax: number | undefined
  unsupportedParameters: UnsupportedParameters
}

/** OpenAI's that have an equivalent, and Google's own, which a client may add. */
const knownMembers: ReadonlySet<string> = new Set([
  'n',
  'logprobs',
  'top_logprobs',
  'top_k',
  'safetySettings',
  'thinkingConfig',
  'cachedContent',
])

const stopsMax = 5

/**
 * A chat request in the form of `generateContent`.
 *
 * https://ai.google.dev/api/generate-content
 *
 * @throws GatewayError unsupported_parameter
 */
export function toGeminiRequest(chat: ChatRequest, options: ToGeminiOptions): JsonObject {
  const { model, service, unsupportedParameters } = options
  refuseUnsupported(chat, knownMembers, 'Gemini', unsupportedParameters)
  const { systemInstruction, contents } = toContents(chat.messages, {
    readsCloudStorage: service === 'vertex',
    wantsSignatures: generationOf(model) >= 3,
  })
  const functionCallingConfig = callingConfigOf(chat.toolChoice)
  const { safetySettings, cachedContent } = chat.members
  const labels = service === 'vertex' ? labelsOf(chat.metadata) : undefined
  return {
    contents,
    ...(systemInstruction && { systemInstruction }),
    ...(chat.tools.length > 0 && { tools: [{ functionDeclarations: chat.tools.map(declarationOf) }] }),
    ...(chat.tools.length > 0 && functionCallingConfig && { toolConfig: { functionCallingConfig } }),
    ...(safetySettings !== undefined && { safetySettings }),
    ...(cachedContent !== undefined && { cachedContent }),
    generationConfig: generationConfigOf(chat, options),
    ...(labels && { labels }),
  }
}

function generationConfigOf(chat: ChatRequest, { model, outputTokensMax }: ToGeminiOptions): JsonObject {
  const { stop, responseFormat, logprobs, topLogprobs, choices } = chat
  if (stop.length > stopsMax) {
    throw new GatewayError('unsupported_parameter', `"stop" may have at most ${stopsMax} entries for this model.`, {
      param: 'stop',
    })
  }
  return defined({
    maxOutputTokens: chat.outputTokensMax ?? outputTokensMax,
    temperature: chat.temperature,
    topP: chat.topP,
    topK: chat.members.top_k,
    stopSequences: stop.length > 0 ? stop : undefined,
    candidateCount: choices > 1 ? choices : undefined,
    seed: chat.seed,
    presencePenalty: chat.presencePenalty,
    frequencyPenalty: chat.frequencyPenalty,
    responseLogprobs: logprobs || undefined,
    logprobs: logprobs ? topLogprobs : undefined,
    responseMimeType: responseFormat.kind === 'text' ? undefined : 'application/json',
    responseJsonSchema: responseFormat.kind === 'json-schema' ? responseFormat.schema : undefined,
    thinkingConfig: chat.members.thinkingConfig ?? thinkingConfigOf(chat.reasoningEffort, model),
  })
}

const defined = (members: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined))

/** `parameters` would take a subset of OpenAPI only, without `$ref`, `additionalProperties` or lists of types. */
function declarationOf({ name, description, parameters }: FunctionTool): JsonObject {
  return defined({ name, description, parametersJsonSchema: parameters })
}

function callingConfigOf(choice: ToolChoice | undefined): JsonObject | undefined {
  switch (choice?.kind) {
    case 'auto':
      return { mode: 'AUTO' }
    case 'none':
      return { mode: 'NONE' }
    case 'required':
      return { mode: 'ANY' }
    case 'function':
      return { mode: 'ANY', allowedFunctionNames: [choice.name] }
    case undefined:
      return undefined
  }
}

/** Vertex labels calls for its bills: lower-case letters, digits, underscores and dashes. */
function labelsOf(metadata: JsonObject | undefined): JsonObject | undefined {
  const labels = Object.entries(metadata ?? {}).filter(
    ([name, value]) =>
      /^[a-z][a-z0-9_-]{0,62}$/.test(name) && typeof value === 'string' && /^[a-z0-9_-]{0,63}$/.test(value),
  )
  return labels.length > 0 ? Object.fromEntries(labels) : undefined
}
