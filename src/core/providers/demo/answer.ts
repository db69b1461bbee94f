import { exampleOf } from './example.ts'

/** What the demo says to a request; each piece is a token by its own reckoning. */
export interface DemoAnswer {
  pieces: readonly string[]
  /** The tool it calls, with `pieces` for arguments; undefined for plain text. */
  tool: string | undefined
}

const introduction = 'This is the built-in demo provider. It answers by itself and asks no model.'
const advice = 'Configure a real provider to get real answers.'
const quotedLengthMax = 200

/** @param request - an OpenAI chat request, of which nothing is taken for granted */
export function answerTo(request: Readonly<Record<string, unknown>>): DemoAnswer {
  const tool = demandedTool(request)
  if (tool) return { pieces: piecesOf(JSON.stringify(argumentsFor(tool))), tool: String(tool.name) }
  const last = lastMessage(request.messages)
  const quoted = textOf(last.content)
  const echo = quoted === '' ? '' : last.role === 'tool' ? ` The tool said: "${quoted}".` : ` You asked: "${quoted}".`
  return { pieces: piecesOf(inFormat(request.response_format, `${introduction}${echo} ${advice}`)), tool: undefined }
}

const piecesOf = (text: string): readonly string[] => text.match(/\s*[^\s,:{}[\]]+|\s*[,:{}[\]]/g) ?? []

/** The tool that `tool_choice` demands to be called, where it does. */
function demandedTool({ tools, tool_choice: choice }: Readonly<Record<string, unknown>>): Loose | undefined {
  if (!Array.isArray(tools) || (choice !== 'required' && !isLoose(choice))) return undefined
  const functions = tools.map((tool) => looseOr(looseOr(tool).function)).filter(({ name }) => typeof name === 'string')
  const name = looseOr(looseOr(choice).function).name
  return name === undefined ? functions[0] : functions.find((one) => one.name === name)
}

function argumentsFor({ parameters }: Loose): unknown {
  const example = exampleOf(parameters)
  return isLoose(example) ? example : {}
}

/** JSON where the client wants some: of its schema, or with the text in it. */
function inFormat(format: unknown, text: string): string {
  const { type, json_schema: given } = looseOr(format)
  if (type === 'json_schema') return JSON.stringify(exampleOf(looseOr(given).schema))
  return type === 'json_object' ? JSON.stringify({ message: text }) : text
}

/** What the client wants answered: the last message of the user, or of a tool if that came later. */
function lastMessage(messages: unknown): Loose {
  const list = Array.isArray(messages) ? messages.map(looseOr) : []
  return list.findLast(({ role }) => role === 'user' || role === 'tool') ?? {}
}

function textOf(content: unknown): string {
  const parts = Array.isArray(content) ? content.map((part) => looseOr(part).text) : [content]
  const text = parts
    .filter((part) => typeof part === 'string')
    .join(' ')
    .slice(0, 4 * quotedLengthMax)
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
  return text.length <= quotedLengthMax ? text : `${text.slice(0, quotedLengthMax).toWellFormed()}…`
}

type Loose = Readonly<Record<string, unknown>>

const isLoose = (value: unknown): value is Loose => typeof value === 'object' && value !== null && !Array.isArray(value)

const looseOr = (value: unknown): Loose => (isLoose(value) ? value : {})
