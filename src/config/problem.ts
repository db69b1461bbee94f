import { z } from 'zod'
import { nearestName } from './nearest-name.ts'

/**
 * One thing wrong with the configuration. A message says what was expected and never repeats what was given, since
 * that may be a secret in the wrong place; `path` holds names of variables, fields and files only.
 */
export interface ConfigProblem {
  /** An environment variable, a field such as `providers[0].baseUrl`, or a place such as `llmgw.yaml:12:3`. */
  readonly path: string
  readonly message: string
}

/** For a terminal: one line a problem. */
export function formatProblems(problems: readonly ConfigProblem[]): string {
  const head =
    problems.length === 1 ? 'The configuration has a problem:' : `The configuration has ${problems.length} problems:`
  return [head, ...problems.map(({ path, message }) => `  ${path}: ${message}`)].join('\n')
}

export type Parsed<T> = { ok: true; value: T } | { ok: false; problems: ConfigProblem[] }

/** Parses with all problems at once, in our words. */
export function parseWithProblems<Schema extends z.ZodType>(schema: Schema, input: unknown): Parsed<z.output<Schema>> {
  const result = schema.safeParse(input, { error: messageOf })
  return result.success
    ? { ok: true, value: result.data }
    : { ok: false, problems: result.error.issues.flatMap(toProblems) }
}

export function formatPath(path: readonly PropertyKey[]): string {
  let text = ''
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`
    else if (/^[\w-]+$/.test(String(part))) text += `${text && '.'}${String(part)}`
    else text += `[${JSON.stringify(String(part))}]`
  }
  return text
}

function toProblems(issue: z.core.$ZodIssue): ConfigProblem[] {
  if (issue.code !== 'unrecognized_keys') return [{ path: formatPath(issue.path) || 'file', message: issue.message }]
  const messages = issue.message.split('\n')
  return issue.keys.map((key, index) => ({ path: formatPath([...issue.path, key]), message: messages[index] ?? '' }))
}

function messageOf(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${kindNames[issue.expected] ?? issue.expected}, found ${kindOf(issue.input)}`
    case 'invalid_value':
      return `expected ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.map(String).join(', ')}`
    case 'too_small':
      return `expected at least ${countOf(issue.minimum, issue.origin)}`
    case 'too_big':
      return `expected at most ${countOf(issue.maximum, issue.origin)}`
    case 'invalid_key':
      return 'expected a name of 1 to 64 letters, digits, dots, dashes and underscores'
    case 'invalid_union':
      return 'expected plain values: text, numbers, true, false, lists and mappings'
    // One message for each key, in the order of `keys`; `toProblems` takes them apart.
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownField(key, fieldsOf(issue.inst))).join('\n')
    default:
      return undefined
  }
}

function unknownField(key: string, known: readonly string[]): string {
  const nearest = nearestName(key, known)
  return nearest
    ? `is not a known field; did you mean ${nearest}?`
    : `is not a known field; expected ${known.join(', ')}`
}

const fieldsOf = (schema: unknown): string[] => (schema instanceof z.ZodObject ? Object.keys(schema.shape) : [])

const kindNames: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a whole number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
}

const unitNames: Readonly<Record<string, string>> = { string: 'character', array: 'item' }

function countOf(count: number | bigint, origin: string): string {
  const unit = unitNames[origin]
  return unit === undefined ? String(count) : `${count} ${unit}${count === 1 ? '' : 's'}`
}

function kindOf(input: unknown): string {
  if (input === undefined || input === null) return 'nothing'
  if (Array.isArray(input)) return 'a list'
  switch (typeof input) {
    case 'string':
      return 'text'
    case 'number':
      return Number.isInteger(input) ? 'a number' : 'a number with a fraction'
    case 'boolean':
      return 'true or false'
    default:
      return 'a mapping'
  }
}
