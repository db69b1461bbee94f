import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildSchema, type GraphQLSchema, isObjectType, isScalarType } from 'graphql'
import { guardSchema } from './guard.ts'
import { policy, type Rule } from './policy.ts'
import { accessResolvers } from './resolvers/access.ts'
import { aliasResolvers } from './resolvers/aliases.ts'
import { auditResolvers } from './resolvers/audit.ts'
import { budgetResolvers } from './resolvers/budgets.ts'
import { catalogResolvers } from './resolvers/catalog.ts'
import { keyResolvers } from './resolvers/keys.ts'
import { limitResolvers } from './resolvers/limits.ts'
import { modelResolvers } from './resolvers/models.ts'
import { nodeResolvers } from './resolvers/node.ts'
import { operationsResolvers } from './resolvers/operations.ts'
import { providerResolvers } from './resolvers/providers.ts'
import { subscriptionResolvers } from './resolvers/subscriptions.ts'
import { tenantResolvers } from './resolvers/tenants.ts'
import { usageResolvers } from './resolvers/usage.ts'
import { scalars } from './scalars.ts'

const folder = join(import.meta.dirname, '../../schema')

/**
 * The contract of schema/, with what resolves its fields and the policy before them.
 *
 * @throws Error when a field has no rule, a rule no field, or a resolver neither
 */
export function adminSchema(rules: Readonly<Record<string, Rule>> = policy): GraphQLSchema {
  const files = readdirSync(folder).filter((name) => name.endsWith('.graphql'))
  const schema = buildSchema(
    files
      .sort()
      .map((name) => readFileSync(join(folder, name), 'utf8'))
      .join('\n'),
  )
  for (const [name, scalar] of Object.entries(scalars)) {
    const type = schema.getType(name)
    if (!isScalarType(type)) throw new Error(`The schema has no scalar ${name}.`)
    const { serialize, parseValue, parseLiteral } = scalar
    Object.assign(type, { serialize, parseValue, parseLiteral })
  }
  for (const resolvers of [
    accessResolvers,
    aliasResolvers,
    auditResolvers,
    budgetResolvers,
    catalogResolvers,
    keyResolvers,
    limitResolvers,
    modelResolvers,
    nodeResolvers,
    operationsResolvers,
    providerResolvers,
    subscriptionResolvers,
    tenantResolvers,
    usageResolvers,
  ]) {
    for (const [typeName, fields] of Object.entries(resolvers)) attach(schema, typeName, fields)
  }
  guardSchema(schema, rules)
  return schema
}

/** @param resolvers - by field; of a subscription with what it subscribes to */
function attach(schema: GraphQLSchema, typeName: string, resolvers: object): void {
  const type = schema.getType(typeName)
  const fields = isObjectType(type) ? type.getFields() : {}
  for (const [name, resolver] of Object.entries(resolvers)) {
    const field = fields[name]
    if (!field) throw new Error(`The schema has no field ${typeName}.${name}.`)
    Object.assign(field, typeof resolver === 'function' ? { resolve: resolver } : resolver)
  }
}
