import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { environmentSchema, reservedVariables, secretVariables } from './environment.ts'
import { fileSchema } from './file-schema.ts'

/**
 * Makes docs/configuration.md from the schemas, so that it cannot say anything else than they do:
 * `node src/config/reference.ts --write`, or `--check`, which fails when the page is out of date.
 */
export function renderReference(example: string): string {
  const sections = sectionsOf(fileSchema, '').map(({ title, fields }) => `### ${title}\n\n${tableOf(fields, 'Field')}`)
  return `${[
    '<!-- Made from the schemas by src/config/reference.ts; do not edit. -->',
    '# Configuration',
    introduction,
    '## Environment',
    environmentIntroduction,
    tableOf(fieldsOf(environmentSchema), 'Variable'),
    `Reserved for later releases, and without effect in this one: ${reservedVariables.map(code).join(', ')}.`,
    '## Config file',
    fileIntroduction,
    ...sections,
    '## Example',
    `\`\`\`yaml\n${example.trimEnd()}\n\`\`\``,
  ].join('\n\n')}\n`
}

const introduction = `The gateway reads its configuration once, at start: the environment, and the config file that
\`LLMGW_CONFIG\` names. Whatever is wrong is reported at once, all of it, and the process ends with exit code 78. \`SIGHUP\`
reads the file again; when the new one is bad, the one in force stays and the log says why. The environment is fixed for
the life of the process.`

const environmentIntroduction = `A variable that is set to nothing counts as not set. Names that begin with \`LLMGW_\` and are
not listed here are refused, unless the config file uses them. Secrets (${secretVariables.map(code).join(', ')}) can also
be given as the path of a file, in a variable whose name ends in \`_FILE\`; a newline at the end of the file is left out.`

const fileIntroduction = `YAML (\`.yaml\`, \`.yml\`) or TOML (\`.toml\`). Unknown fields are refused. In text, \`\${NAME}\` stands for a
variable of the environment and must be set, \`\${NAME:-default}\` has a default, and \`$\${\` is a plain \`\${\`.

A *secret* is text, or \`{ fromFile: path }\`: the content of a file without the newline at its end; a relative path starts
at the folder of the config file. Secrets never appear in problems, logs or the printed configuration. *Dollars* are a
number or a decimal text with at most nine decimals, taken exactly. A *time* is ISO 8601 with its zone.

What the file declares is written to the database in one transaction and belongs to the file: what is taken out of the
file is disabled (providers, aliases), revoked (keys) or no longer priced (models), and comes back with it. Budgets and
rate limits are removed. A budget is found again by its owner, period and time zone: with another amount it stays the same
one and keeps what was spent, with another period or time zone it is a new one.`

interface Field {
  name: string
  type: string
  default: string
  description: string
}

interface Section {
  title: string
  fields: Field[]
}

interface FieldFacts {
  /** Without what wraps it: optional, default, transformation. */
  schema: z.core.$ZodType
  isOptional: boolean
  /** Undefined when there is none, or when it follows from the fields inside. */
  default: unknown
  description: string
  /** What the reference calls the type, where the schema alone does not say it. */
  typeName: string | undefined
}

/** The table of an object, and those of the objects within. */
function sectionsOf(schema: z.core.$ZodType, path: string): Section[] {
  const { schema: inner } = factsOf(schema)
  if (inner instanceof z.ZodArray) return sectionsOf(inner.element, `${path}[]`)
  if (inner instanceof z.ZodDiscriminatedUnion) return variantsOf(inner, path)
  if (!(inner instanceof z.ZodObject)) return []
  const nested = Object.entries(inner.shape).flatMap(([name, field]) =>
    sectionsOf(field, path ? `${path}.${name}` : name),
  )
  return [{ title: path ? code(path) : 'Top level', fields: fieldsOf(inner) }, ...nested]
}

/** A table for each variant, and one for each object within, since variants have those in common. */
function variantsOf(union: z.ZodDiscriminatedUnion, path: string): Section[] {
  const variants: Section[] = []
  const nested = new Map<string, Section>()
  for (const option of union.options) {
    const { type } = option instanceof z.ZodObject ? option.shape : {}
    const [own, ...within] = sectionsOf(option, path)
    if (own) variants.push({ ...own, title: `${own.title} of type ${typeNameOf(factsOf(type))}` })
    for (const section of within) nested.set(JSON.stringify(section), section)
  }
  return [...variants, ...nested.values()]
}

function fieldsOf(schema: z.ZodObject): Field[] {
  return Object.entries(schema.shape).map(([name, field]) => {
    const facts = factsOf(field)
    return {
      name: code(name),
      type: typeNameOf(facts),
      default: defaultOf(facts),
      description: facts.description,
    }
  })
}

function factsOf(field: z.core.$ZodType): FieldFacts {
  const facts: FieldFacts = {
    schema: field,
    isOptional: false,
    default: undefined,
    description: '',
    typeName: undefined,
  }
  for (let schema: z.core.$ZodType | undefined = field; schema; schema = insideOf(schema)) {
    const meta: z.core.GlobalMeta = z.globalRegistry.get(schema) ?? {}
    facts.schema = schema
    facts.description ||= meta.description ?? ''
    facts.typeName ??= typeof meta.type === 'string' ? meta.type : undefined
    if (schema instanceof z.ZodOptional) facts.isOptional = true
    if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
      facts.isOptional = true
      facts.default ??= schema.def.defaultValue
    }
  }
  return facts
}

function insideOf(schema: z.core.$ZodType): z.core.$ZodType | undefined {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
    return schema.def.innerType
  }
  return schema instanceof z.ZodPipe ? schema.def.in : undefined
}

function typeNameOf({ schema, typeName }: FieldFacts): string {
  if (typeName !== undefined) return typeName
  if (schema instanceof z.ZodEnum) return schema.options.map((option) => code(String(option))).join(' or ')
  if (schema instanceof z.ZodLiteral) return [...schema.values].map((value) => code(String(value))).join(' or ')
  if (schema instanceof z.ZodNumber) return 'whole number'
  if (schema instanceof z.ZodBoolean) return '`true` or `false`'
  if (schema instanceof z.ZodArray) return `list of ${typeNameOf(factsOf(schema.element))}`
  if (schema instanceof z.ZodRecord) return `mapping of ${typeNameOf(factsOf(schema.valueType))}`
  if (schema instanceof z.ZodObject || schema instanceof z.ZodDiscriminatedUnion) return 'mapping'
  return schema instanceof z.ZodString ? 'text' : 'anything'
}

function defaultOf(facts: FieldFacts): string {
  if (!facts.isOptional) return '**required**'
  if (facts.default === undefined) return ''
  const isObject = typeof facts.default === 'object' && !Array.isArray(facts.default)
  return isObject ? '' : code(typeof facts.default === 'string' ? facts.default : JSON.stringify(facts.default))
}

function tableOf(fields: readonly Field[], head: string): string {
  const rows = fields.map((field) => `| ${[field.name, field.type, field.default, field.description].join(' | ')} |`)
  return [`| ${head} | Type | Default | Meaning |`, '|---|---|---|---|', ...rows].join('\n')
}

function code(text: string): string {
  return `\`${text}\``
}

export const referencePath = fileURLToPath(new URL('../../docs/configuration.md', import.meta.url))
export const examplePath = fileURLToPath(new URL('../../docs/examples/llmgw.yaml', import.meta.url))

if (import.meta.main) {
  const rendered = renderReference(readFileSync(examplePath, 'utf8'))
  if (process.argv[2] === '--write') {
    writeFileSync(referencePath, rendered)
  } else if (process.argv[2] !== '--check') {
    process.stderr.write('Usage: node src/config/reference.ts --write | --check\n')
    process.exitCode = 64 // EX_USAGE of sysexits.h
  } else if (readFileSync(referencePath, 'utf8') !== rendered) {
    process.stderr.write('docs/configuration.md is out of date; run: npm run docs:config\n')
    process.exitCode = 1
  }
}
