import { dirname, extname, resolve } from 'node:path'
import { parse as parseToml, TomlDate, TomlError } from 'smol-toml'
import { LineCounter, parseDocument, type YAMLError } from 'yaml'
import { Secret } from '../core/secret.ts'
import { type Environment, errorCode, type ReadFile, readSecretFile } from './environment.ts'
import { type ConfigProblem, formatPath } from './problem.ts'

export interface ReadConfigFile {
  /** The file's content with references resolved, not validated: plain values, and a Secret for each `{ fromFile }`. */
  content: unknown
  problems: ConfigProblem[]
  /** Names of the variables it uses, set or not. */
  variables: ReadonlySet<string>
}

/** Reads YAML (.yaml, .yml, .json) or TOML (.toml), and resolves `${NAME}`, `${NAME:-default}` and `{ fromFile }`. */
export function readConfigFile(path: string, environment: Environment, readFile: ReadFile): ReadConfigFile {
  const parsed = parseFile(path, readFile)
  if (!parsed.ok) return { content: undefined, problems: parsed.problems, variables: new Set() }
  const resolver = createReferenceResolver(environment, dirname(path), readFile)
  const content = resolver.resolveIn(parsed.value, [])
  return { content: content ?? {}, problems: resolver.problems, variables: resolver.variables }
}

type ParsedFile = { ok: true; value: unknown } | { ok: false; problems: ConfigProblem[] }

function parseFile(path: string, readFile: ReadFile): ParsedFile {
  const parse = parsers[extname(path).toLowerCase()]
  if (!parse) return failed({ path: 'LLMGW_CONFIG', message: 'expected a file that ends in .yaml, .yml or .toml' })
  try {
    return parse(path, readFile(path))
  } catch (error) {
    return failed({ path: 'LLMGW_CONFIG', message: `expected a file that can be read (${errorCode(error)})` })
  }
}

const parsers: Readonly<Record<string, (path: string, text: string) => ParsedFile>> = {
  '.yaml': parseYamlFile,
  '.yml': parseYamlFile,
  '.json': parseYamlFile,
  '.toml': parseTomlFile,
}

function parseYamlFile(path: string, text: string): ParsedFile {
  const lines = new LineCounter()
  const document = parseDocument(text, { prettyErrors: false, stringKeys: true, lineCounter: lines })
  const errors = [...document.errors, ...document.warnings]
  if (errors.length > 0) {
    return failed(
      ...errors.map((error) => {
        const { line, col } = lines.linePos(error.pos[0])
        return { path: `${path}:${line}:${col}`, message: yamlMessage(error) }
      }),
    )
  }
  try {
    return { ok: true, value: document.toJS({ maxAliasCount: 100 }) }
  } catch {
    return failed({ path, message: 'expected aliases (*name) that name an anchor (&name) above, at most 100 of them' })
  }
}

/** The parser's words, unless they quote the file. */
function yamlMessage({ code, message }: YAMLError): string {
  switch (code) {
    case 'TAG_RESOLVE_FAILED':
      return 'expected no tag; put text that begins with ! in quotes'
    case 'BAD_DQ_ESCAPE':
      return 'expected another escape sequence; write \\\\ for a backslash, or use single quotes'
    case 'UNEXPECTED_TOKEN':
      return 'expected something else here; check the quotes, brackets and indentation'
    case 'MULTIPLE_DOCS':
      return 'expected one document'
    default:
      return message
  }
}

function parseTomlFile(path: string, text: string): ParsedFile {
  try {
    return { ok: true, value: parseToml(text) }
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    // What follows the first line is an excerpt of the file.
    const message = error.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '') ?? 'is not TOML'
    return failed({ path: `${path}:${error.line}:${error.column}`, message })
  }
}

const failed = (...problems: ConfigProblem[]): ParsedFile => ({ ok: false, problems })

const depthMax = 32

function createReferenceResolver(environment: Environment, folder: string, readFile: ReadFile) {
  const problems: ConfigProblem[] = []
  const variables = new Set<string>()
  const report = (path: readonly PropertyKey[], message: string): void => {
    problems.push({ path: formatPath(path) || 'file', message })
  }

  function resolveIn(value: unknown, path: readonly PropertyKey[]): unknown {
    // YAML aliases can make a value contain itself.
    if (path.length > depthMax) return report(path.slice(0, 4), `expected at most ${depthMax} levels`)
    if (typeof value === 'string') return substitute(value, path)
    if (value instanceof TomlDate) return value.toISOString()
    if (Array.isArray(value)) return value.map((item, index) => resolveIn(item, [...path, index]))
    if (typeof value !== 'object' || value === null) return value
    const entries = Object.entries(value).map(([name, item]) => [name, resolveIn(item, [...path, name])] as const)
    const [only] = entries
    if (entries.length === 1 && only?.[0] === 'fromFile') return fromFile(only[1], path)
    return Object.fromEntries(entries)
  }

  function substitute(text: string, path: readonly PropertyKey[]): string {
    return text.replaceAll(/\$?\$\{([^}]*)\}/g, (reference: string, inner: string) => {
      if (reference.startsWith('$$')) return reference.slice(1)
      const [, name, hasDefault, fallback = ''] = /^([A-Za-z_][A-Za-z0-9_]*)(:-(.*))?$/s.exec(inner) ?? []
      if (name === undefined) {
        report(path, 'expected ${NAME} or ${NAME:-default}; write $${ for the characters themselves')
        return ''
      }
      variables.add(name)
      // Not what an object inherits: `${constructor}` is a variable that is not set.
      const value = Object.hasOwn(environment, name) ? environment[name] : undefined
      if (hasDefault !== undefined) return value || fallback
      if (value === undefined) report(path, `expected the variable ${name} to be set`)
      return value ?? ''
    })
  }

  function fromFile(file: unknown, path: readonly PropertyKey[]): unknown {
    if (typeof file !== 'string') return report([...path, 'fromFile'], 'expected the path of a file')
    const content = readSecretFile(resolve(folder, file), readFile)
    if (content instanceof Secret) return content
    return report([...path, 'fromFile'], content.problem)
  }

  return { resolveIn, problems, variables }
}
