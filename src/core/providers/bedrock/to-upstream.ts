import type { ConverseRequest, Message, Tool, ToolChoice, ToolConfiguration } from '@aws-sdk/client-bedrock-runtime'
import type { ChatRequest, FunctionTool, UnsupportedParameters } from '../../chat/request.ts'
import { refuseUnsupported } from '../../chat/unsupported.ts'
import { abilitiesOf, type ModelAbilities } from '../anthropic/models.ts'
import { isOn, thinkingOf } from '../anthropic/thinking.ts'
import { isRecord, type JsonObject } from '../json.ts'
import { cachePoint, toConversation } from './messages.ts'

export interface ToConverseOptions {
  /** A model's id, an inference profile's, or the ARN of either. */
  model: string
  /** Tokens, where the client names no cap and a budget needs one. */
  outputTokensMax: number | undefined
  unsupportedParameters: UnsupportedParameters
}

export interface Converse {
  request: ConverseRequest
  /** The tool whose input is the answer, where a schema had to be put that way. */
  answerTool: string | undefined
}

/** Bedrock's own, or of the models it serves, which a client may add to OpenAI's request. */
const ownMembers: ReadonlySet<string> = new Set([
  'thinking',
  'top_k',
  'guardrailConfig',
  'performanceConfig',
  'additionalModelRequestFields',
])

/** What thinking is measured against where nobody names a cap: what Claude answers on Bedrock unasked. */
const outputTokensMaxDefault = 4096

/**
 * A chat request in the form of Converse, which is the same for all models but for what they call their own.
 *
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
 *
 * @throws GatewayError unsupported_parameter
 */
export function toConverse(
  chat: ChatRequest,
  { model, outputTokensMax, unsupportedParameters }: ToConverseOptions,
): Converse {
  refuseUnsupported(chat, ownMembers, 'Bedrock', unsupportedParameters)
  const claude = /claude/.test(model) ? abilitiesOf(model) : undefined
  const conversation = toConversation(chat.messages)
  const maxTokens = chat.outputTokensMax ?? outputTokensMax
  const thinking = claude
    ? thinkingOf(chat, claude, {
        maxTokens: maxTokens ?? outputTokensMaxDefault,
        lacksThinking: lacksReasoning(conversation.messages),
      })
    : undefined
  const thinks = isOn(thinking?.thinking)
  const format = formatOf(chat, model, claude, thinks)
  const system = [...conversation.system, ...format.instructions.map((text) => ({ text }))]
  const toolConfig = format.answerTool ?? toolConfigOf(chat, claude, conversation.messages)
  const additional = additionalFieldsOf(chat, model, claude, thinking)
  const inferenceConfig = defined({
    maxTokens: maxTokens ?? (thinks ? outputTokensMaxDefault : undefined),
    ...samplingOf(chat, claude, thinks),
    stopSequences: chat.stop.length > 0 ? [...chat.stop] : undefined,
  })
  const requestMetadata = metadataOf(chat)
  const { guardrailConfig, performanceConfig } = chat.members
  const tier = serviceTiers[chat.serviceTier ?? '']
  return {
    request: {
      modelId: model,
      messages: conversation.messages,
      ...(system.length > 0 && { system }),
      ...(Object.keys(inferenceConfig).length > 0 && { inferenceConfig }),
      ...(toolConfig && { toolConfig }),
      ...(format.outputConfig && { outputConfig: format.outputConfig }),
      ...(Object.keys(additional).length > 0 && { additionalModelRequestFields: additional as never }),
      ...(isRecord(guardrailConfig) && { guardrailConfig: guardrailConfig as never }),
      ...(isRecord(performanceConfig) && { performanceConfig }),
      ...(requestMetadata && { requestMetadata }),
      ...(tier && { serviceTier: { type: tier } }),
    },
    answerTool: format.answerTool ? answerToolName : undefined,
  }
}

const defined = (members: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined))

const serviceTiers: Readonly<Record<string, 'default' | 'flex' | 'priority' | 'reserved'>> = {
  default: 'default',
  flex: 'flex',
  priority: 'priority',
  reserved: 'reserved',
}

/** Claude's goes to 1 and is not beside thinking; what the newest take is their own affair. */
function samplingOf(
  { temperature, topP }: ChatRequest,
  claude: ModelAbilities | undefined,
  thinks: boolean,
): JsonObject {
  if (!claude) return { temperature, topP }
  if (thinks || claude.sampling === 'none') return {}
  const takesTopP = claude.sampling === 'both' || temperature === undefined
  return {
    temperature: temperature === undefined ? undefined : Math.min(temperature, 1),
    topP: takesTopP ? topP : undefined,
  }
}

/** Results of a call are only taken with the thinking that led to it. */
function lacksReasoning(messages: readonly Message[]): boolean {
  const last = messages[messages.length - 1]
  if (!last?.content?.some(({ toolResult }) => toolResult !== undefined)) return false
  return messages[messages.length - 2]?.content?.[0]?.reasoningContent === undefined
}

/** What a family of models calls by a name of its own. */
function additionalFieldsOf(
  chat: ChatRequest,
  model: string,
  claude: ModelAbilities | undefined,
  thinking: ReturnType<typeof thinkingOf>,
): JsonObject {
  const given = isRecord(chat.members.additionalModelRequestFields) ? chat.members.additionalModelRequestFields : {}
  const topK = chat.members.top_k === undefined ? {} : { top_k: chat.members.top_k }
  if (!claude) {
    const effort = chat.reasoningEffort
    const takesEffort = effort !== undefined && /gpt-oss/.test(model)
    return { ...topK, ...(takesEffort && { reasoning_effort: effort }), ...given }
  }
  const kind = chat.toolChoice?.kind
  const isSerial = chat.parallelToolCalls === false && chat.tools.length > 0 && kind !== 'none'
  return {
    ...topK,
    ...(thinking?.thinking !== undefined && { thinking: thinking.thinking }),
    ...(thinking?.outputConfig && { output_config: thinking.outputConfig }),
    ...(isSerial &&
      kind !== 'function' && {
        tool_choice: { type: kind === 'required' ? 'any' : 'auto', disable_parallel_tool_use: true },
      }),
    ...given,
  }
}

interface Format {
  instructions: string[]
  outputConfig?: NonNullable<ConverseRequest['outputConfig']>
  /** `toolConfig` that makes the answer the input of a tool. */
  answerTool?: ToolConfiguration
}

const answerToolName = 'answer'
/** Families that can be made to call a tool, and have no output format. */
const formatless = /nova|titan|claude|command|jamba|llama/

function formatOf(
  { responseFormat, tools }: ChatRequest,
  model: string,
  claude: ModelAbilities | undefined,
  thinks: boolean,
): Format {
  switch (responseFormat.kind) {
    case 'text':
      return { instructions: [] }
    case 'json-object':
      return { instructions: ['Answer with one JSON object and nothing else: no code fence, no words around it.'] }
    case 'json-schema': {
      const { schema, name, description } = responseFormat
      if (claude?.structuredOutputs ?? !formatless.test(model)) {
        const jsonSchema = { name, schema: JSON.stringify(schema), ...(description !== undefined && { description }) }
        return { instructions: [], outputConfig: { textFormat: { type: 'json_schema', structure: { jsonSchema } } } }
      }
      // A tool that must be called excludes both thinking and every other tool.
      if (thinks || tools.length > 0) {
        const wanted = `one JSON object that satisfies this JSON Schema of "${name}"`
        return {
          instructions: [`Answer with ${wanted} and nothing else, without a code fence: ${JSON.stringify(schema)}`],
        }
      }
      const inputSchema = { json: { type: 'object', ...schema } as never }
      const toolSpec = { name: answerToolName, description: description ?? `Takes the answer: ${name}.`, inputSchema }
      return {
        instructions: [],
        answerTool: { tools: [{ toolSpec }], toolChoice: { tool: { name: answerToolName } } },
      }
    }
  }
}

/** A history with calls in it is refused without tools; and there is no word for tools that may not be called. */
function toolConfigOf(
  { tools, toolChoice }: ChatRequest,
  claude: ModelAbilities | undefined,
  messages: readonly Message[],
): ToolConfiguration | undefined {
  const called = messages.flatMap(({ content = [] }) => content.flatMap(({ toolUse }) => toolUse?.name ?? []))
  if (toolChoice?.kind === 'none' && called.length === 0) return undefined
  if (tools.length === 0) {
    if (called.length === 0) return undefined
    return { tools: [...new Set(called)].map((name) => toolSpec({ name, inputSchema: { json: { type: 'object' } } })) }
  }
  const choice = choiceOf(toolChoice)
  return {
    tools: tools.flatMap((tool) => [toolOf(tool, claude), ...(cachePoint(tool.cacheControl) as Tool[])]),
    ...(choice && { toolChoice: choice }),
  }
}

const toolSpec = (spec: NonNullable<Tool['toolSpec']>): Tool => ({ toolSpec: spec })

function toolOf({ name, description, parameters, strict }: FunctionTool, claude: ModelAbilities | undefined): Tool {
  return toolSpec({
    name,
    ...(description !== undefined && description !== '' && { description }),
    inputSchema: { json: (parameters?.type === 'object' ? parameters : { type: 'object', ...parameters }) as never },
    ...(strict === true && claude?.structuredOutputs && { strict }),
  })
}

function choiceOf(choice: ChatRequest['toolChoice']): ToolChoice | undefined {
  switch (choice?.kind) {
    case 'auto':
      return { auto: {} }
    case 'required':
      return { any: {} }
    case 'function':
      return { tool: { name: choice.name } }
    default:
      return undefined
  }
}

const entriesMax = 16
const metadataText = /^[A-Za-z0-9\s:_@$#=/+,.-]{1,256}$/

/** Bedrock filters its logs by these; what it would refuse is left out. */
function metadataOf({ endUser, metadata }: ChatRequest): Record<string, string> | undefined {
  const entries = Object.entries({ ...metadata, ...(endUser !== undefined && { user: endUser }) })
  const takes = ([name, value]: [string, unknown]): boolean =>
    metadataText.test(name) && typeof value === 'string' && metadataText.test(value)
  const taken = entries.filter((entry): entry is [string, string] => takes(entry)).slice(0, entriesMax)
  return taken.length > 0 ? Object.fromEntries(taken) : undefined
}
