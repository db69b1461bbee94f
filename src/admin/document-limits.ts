import type { DocumentNode } from 'graphql'
import {
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLObjectType,
  type GraphQLSchema,
  getNamedType,
  isInterfaceType,
  isObjectType,
  isUnionType,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql'
import { adminError } from './errors.ts'

/** What an operation may ask for at most, fragments fully expanded. */
export const documentLimits = {
  depth: 12,
  aliases: 15,
  queryFields: 10,
  mutationFields: 5,
  fragments: 20,
  directives: 10,
  cost: 1_000,
} as const

/** Fields that take a secret or give one away come alone, so that one document is one attempt. */
const aloneFields = new Set([
  'firstAdministratorCreate',
  'sessionSignIn',
  'sessionSignInAsService',
  'sessionRefresh',
  'passwordChange',
  'adminUserCreate',
  'adminUserSetPassword',
  'serviceTokenCreate',
  'apiKeyCreate',
  'apiKeyRotate',
  'providerCreate',
  'providerUpdate',
])

interface Count {
  aliases: number
  directives: number
  cost: number
  asksForSchema: boolean
}

/**
 * Looks at a valid document before anything of it is executed.
 *
 * @returns whether it asks for the schema
 * @throws GraphQLError LIMIT_EXCEEDED, with the limit and what was found
 */
export function checkDocument(
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode,
): { asksForSchema: boolean } {
  const fragments = new Map<string, FragmentDefinitionNode>()
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition)
  }
  atMost('fragments', fragments.size)
  const root = schema.getRootType(operation.operation)
  if (!root) throw adminError('BAD_USER_INPUT', `There are no ${operation.operation}s here.`)
  const count: Count = { aliases: 0, directives: operation.directives?.length ?? 0, cost: 0, asksForSchema: false }
  const rootFields: string[] = []

  const walk = (selections: SelectionSetNode, type: unknown, depth: number, factor: number): void => {
    if (depth > documentLimits.depth) throw exceeded('depth', depth)
    for (const selection of selections.selections) {
      count.directives += selection.directives?.length ?? 0
      atMost('directives', count.directives)
      if (selection.kind === Kind.FIELD) {
        if (selection.alias) atMost('aliases', ++count.aliases)
        visitField(selection, type, depth, factor)
        continue
      }
      const fragment = selection.kind === Kind.FRAGMENT_SPREAD ? fragments.get(selection.name.value) : selection
      if (!fragment) continue
      const condition = fragment.typeCondition
      walk(fragment.selectionSet, condition ? schema.getType(condition.name.value) : type, depth, factor)
    }
  }
  const visitField = (field: FieldNode, type: unknown, depth: number, factor: number): void => {
    const name = field.name.value
    if (depth === 1) rootFields.push(name)
    if (name === '__schema' || name === '__type') {
      // Its size is that of our schema, whatever is asked of it.
      count.asksForSchema = true
      return
    }
    count.cost += factor
    atMost('cost', count.cost)
    if (!field.selectionSet) return
    const definition = isObjectType(type) || isInterfaceType(type) ? type.getFields()[name] : undefined
    const named = definition && getNamedType(definition.type)
    const inner = isObjectType(named) || isInterfaceType(named) || isUnionType(named) ? named : undefined
    walk(field.selectionSet, inner, depth + 1, factor * pageSizeOf(field, type as GraphQLObjectType | undefined))
  }
  walk(operation.selectionSet, root, 1, 1)

  const isMutation = operation.operation === 'mutation'
  if (isMutation && rootFields.length > 1 && rootFields.some((name) => aloneFields.has(name))) {
    throw adminError('LIMIT_EXCEEDED', 'What takes or gives a secret comes alone in its document.')
  }
  atMost(isMutation ? 'mutationFields' : 'queryFields', rootFields.length)
  return { asksForSchema: count.asksForSchema }
}

/** What a page of a list multiplies: a quarter of its size, since most pages are not full and rows are cheap. */
function pageSizeOf(field: FieldNode, type: GraphQLObjectType | undefined): number {
  const argument = type?.getFields?.()[field.name.value]?.args.find(({ name }) => name === 'first')
  if (!argument) return 1
  const given = field.arguments?.find(({ name }) => name.value === 'first')?.value
  const size = given?.kind === Kind.INT ? Number(given.value) : given ? 100 : Number(argument.defaultValue)
  return Math.max(1, Math.min(100, size) / 4)
}

function atMost(limit: keyof typeof documentLimits, found: number): void {
  if (found > documentLimits[limit]) throw exceeded(limit, found)
}

const exceeded = (limit: keyof typeof documentLimits, found: number) =>
  adminError(
    'LIMIT_EXCEEDED',
    `This operation is too large: ${limit} of ${Math.ceil(found)}, at most ${documentLimits[limit]}.`,
  )
