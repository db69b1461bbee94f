import type { ChatRequest, FunctionTool, ToolChoice, UnsupportedParameters } from '../../chat/request.ts'
import { refuseUnsupported } from '../../chat/unsupported.ts'
import { GatewayError } from '../../errors.ts'
import { isRecord, type JsonObject } from '../json.ts'
import { type Conversation, toConversation } from './messages.ts'
import { abilitiesOf, type ModelAbilities } from './models.ts'
import { isOn, thinkingOf } from './thinking.ts'

export interface ToAnthropicOptions {
  /** Anthropic's name of the model. */
  model: string
  stream: boolean
  /** Tokens, where the client names no cap: Anthropic insists on one. */
  outputTokensMax: number | undefined
  unsupportedParameters: UnsupportedParameters
}

export interface AnthropicRequest {
  body: JsonObject
  /** The tool whose input is the answer, where a schema had to be put that way. */
  answerTool: string | undefined
}

/** Where neither the client nor the catalog names a cap: all models answer that much. */
const outputTokensMaxDefault = 4096

/** Anthropic's own, which a client may add to OpenAI's request. */
const ownMembers: ReadonlySet<string> = new Set([
  'thinking',
  'top_k',
  'cache_control',
  'output_config',
  'inference_geo',
])

/**
 * A chat request in the form of Anthropic's Messages.
 *
 * https://platform.claude.com/docs/en/api/messages/create
 *
 * @throws GatewayError unsupported_parameter
 */
export function toAnthropicRequest(
  chat: ChatRequest,
  { model, stream, outputTokensMax, unsupportedParameters }: ToAnthropicOptions,
): AnthropicRequest {
  refuseUnsupported(chat, ownMembers, 'Anthropic', unsupportedParameters)
  const abilities = abilitiesOf(model)
  const conversation = toConversation(chat.messages)
  const maxTokens = chat.outputTokensMax ?? outputTokensMax ?? outputTokensMaxDefault
  const thinking = thinkingOf(chat, abilities, { maxTokens, lacksThinking: lacksThinking(conversation) })
  const format = formatOf(chat, abilities, isOn(thinking?.thinking))
  const system = [...conversation.system, ...format.instructions.map((text) => ({ type: 'text', text }))]
  const outputConfig = {
    ...(isRecord(chat.members.output_config) && chat.members.output_config),
    ...thinking?.outputConfig,
    ...format.outputConfig,
  }
  return {
    body: {
      model,
      max_tokens: maxTokens,
      ...(system.length > 0 && { system }),
      messages: conversation.messages,
      ...(format.answerTool ?? toolsOf(chat, abilities, conversation)),
      ...samplingOf(chat, abilities, isOn(thinking?.thinking)),
      ...(chat.stop.length > 0 && { stop_sequences: stopsOf(chat.stop) }),
      ...(thinking?.thinking !== undefined && { thinking: thinking.thinking }),
      ...(Object.keys(outputConfig).length > 0 && { output_config: outputConfig }),
      ...given('top_k', chat.members.top_k),
      ...given('cache_control', chat.members.cache_control),
      ...given('inference_geo', chat.members.inference_geo),
      ...userOf(chat),
      ...serviceTierOf(chat.serviceTier),
      ...(stream && { stream }),
    },
    answerTool: format.answerTool ? answerToolName : undefined,
  }
}

const given = (name: string, value: unknown): JsonObject | undefined =>
  value === undefined ? undefined : { [name]: value }

/** Results of a call are only taken with the thinking that led to it. */
function lacksThinking({ messages }: Conversation): boolean {
  const last = messages[messages.length - 1]
  if (!last?.content.some(({ type }) => type === 'tool_result')) return false
  const calling = messages[messages.length - 2]?.content[0]?.type
  return calling !== 'thinking' && calling !== 'redacted_thinking'
}

/** While thinking, and on the newest models at all, sampling is Anthropic's own affair. */
function samplingOf({ temperature, topP }: ChatRequest, { sampling }: ModelAbilities, thinks: boolean): JsonObject {
  if (sampling === 'none' || thinks) return {}
  const takesTopP = sampling === 'both' || temperature === undefined
  return {
    // OpenAI's goes to 2, this one to 1.
    ...(temperature !== undefined && { temperature: Math.min(temperature, 1) }),
    ...(topP !== undefined && takesTopP && { top_p: topP }),
  }
}

function stopsOf(stops: readonly string[]): readonly string[] {
  const blank = stops.findIndex((stop) => stop.trim() === '')
  if (blank === -1) return stops
  throw new GatewayError('unsupported_parameter', '"stop" may not be white space alone for this model.', {
    param: stops.length === 1 ? 'stop' : `stop[${blank}]`,
  })
}

interface Format {
  instructions: string[]
  outputConfig?: JsonObject
  /** `tools` and `tool_choice` that make the answer the input of a tool. */
  answerTool?: JsonObject
}

const answerToolName = 'answer'

function formatOf({ responseFormat, tools }: ChatRequest, abilities: ModelAbilities, thinks: boolean): Format {
  switch (responseFormat.kind) {
    case 'text':
      return { instructions: [] }
    case 'json-object':
      return { instructions: ['Answer with one JSON object and nothing else: no code fence, no words around it.'] }
    case 'json-schema': {
      const { schema, description, name } = responseFormat
      if (abilities.structuredOutputs) {
        return { instructions: [], outputConfig: { format: { type: 'json_schema', schema } } }
      }
      // A tool that must be called excludes both thinking and every other tool.
      if (thinks || tools.length > 0) {
        const wanted = `one JSON object that satisfies this JSON Schema of "${name}"`
        return {
          instructions: [`Answer with ${wanted} and nothing else, without a code fence: ${JSON.stringify(schema)}`],
        }
      }
      const tool = {
        name: answerToolName,
        description: description ?? `Takes the answer: ${name}.`,
        input_schema: { type: 'object', ...schema },
      }
      return {
        instructions: [],
        answerTool: {
          tools: [tool],
          tool_choice: { type: 'tool', name: answerToolName, disable_parallel_tool_use: true },
        },
      }
    }
  }
}

/** A history with calls in it is refused without tools: those that it names are declared, and may not be called. */
function toolsOf(
  { tools, toolChoice, parallelToolCalls }: ChatRequest,
  abilities: ModelAbilities,
  { messages }: Conversation,
) {
  if (tools.length === 0) {
    const called = messages.flatMap(({ content }) => content.filter(({ type }) => type === 'tool_use'))
    const names = [...new Set(called.map(({ name }) => name))]
    if (names.length === 0) return undefined
    return {
      tools: names.map((name) => ({ name, input_schema: { type: 'object' } })),
      tool_choice: { type: 'none' },
    }
  }
  const choice = choiceOf(toolChoice)
  const isSerial = parallelToolCalls === false && choice?.type !== 'none'
  return {
    tools: tools.map((tool) => toolOf(tool, abilities)),
    ...(isSerial
      ? { tool_choice: { ...(choice ?? { type: 'auto' }), disable_parallel_tool_use: true } }
      : choice && { tool_choice: choice }),
  }
}

function toolOf({ name, description, parameters, strict, cacheControl }: FunctionTool, abilities: ModelAbilities) {
  return {
    name,
    ...(description !== undefined && { description }),
    input_schema: parameters?.type === 'object' ? parameters : { type: 'object', ...parameters },
    ...(strict === true && abilities.structuredOutputs && { strict }),
    ...(cacheControl && { cache_control: cacheControl }),
  }
}

function choiceOf(choice: ToolChoice | undefined): { type: string; name?: string } | undefined {
  if (!choice) return undefined
  switch (choice.kind) {
    case 'required':
      return { type: 'any' }
    case 'function':
      return { type: 'tool', name: choice.name }
    default:
      return { type: choice.kind }
  }
}

function userOf({ endUser, metadata }: ChatRequest): JsonObject | undefined {
  const user = endUser ?? metadata?.user_id
  return typeof user === 'string' && user !== '' ? { metadata: { user_id: user } } : undefined
}

/** `default` and `flex` may not cost more than the standard tier; anything else is Anthropic's default. */
function serviceTierOf(tier: string | undefined): JsonObject | undefined {
  switch (tier) {
    case 'default':
    case 'flex':
    case 'standard_only':
      return { service_tier: 'standard_only' }
    case 'auto':
    case 'priority':
      return { service_tier: 'auto' }
    default:
      return undefined
  }
}
