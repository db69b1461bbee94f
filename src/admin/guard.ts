import { defaultFieldResolver, type GraphQLSchema, isObjectType } from 'graphql'
import { covers, globalScope, holds, type Role, roles, type Scope } from '../core/access/principal.ts'
import type { AdminContext } from './context.ts'
import { forbidden, fromService, unauthenticated } from './errors.ts'
import type { Rule } from './policy.ts'

/**
 * Puts the policy before every resolver.
 *
 * @throws Error that names each field without a rule, and each rule without a field: what nobody has decided is not served
 */
export function guardSchema(schema: GraphQLSchema, policy: Readonly<Record<string, Rule>>): void {
  const unused = new Set(Object.keys(policy))
  const undecided: string[] = []
  for (const type of Object.values(schema.getTypeMap())) {
    if (!isObjectType(type) || type.name.startsWith('__')) continue
    for (const field of Object.values(type.getFields())) {
      const name = `${type.name}.${field.name}`
      const rule = policy[name]
      unused.delete(name)
      if (rule === undefined) {
        undecided.push(name)
        continue
      }
      if (rule === 'with-parent') continue
      if (type === schema.getSubscriptionType()) {
        const { subscribe, resolve } = field
        field.subscribe = (source, args, context: AdminContext, info) =>
          subscribe?.(source, args, admit(rule, context, []), info)
        // What was read for one event is not shown with the next.
        field.resolve = (source, args, context: AdminContext, info) => {
          for (const loader of Object.values(context.loaders)) loader.clearAll()
          return resolve?.(source, args, context, info)
        }
        continue
      }
      const resolve = field.resolve ?? defaultFieldResolver
      field.resolve = async (source, args, context: AdminContext, info) => {
        const asked: Role[] = []
        const guarded = Object.assign(admit(rule, context, asked), { rootField: info.path.key })
        const result = await Promise.resolve(resolve(source, args, guarded, info)).catch((error: unknown) => {
          throw fromService(error)
        })
        // A resolver that has forgotten to ask has decided nothing: its answer is not given out.
        if (isObjectRule(rule) && !asked.some((role) => roles.indexOf(role) >= roles.indexOf(rule.role))) {
          throw new Error(`${name} has not asked whether the viewer is ${rule.role} of the object.`)
        }
        return result
      }
    }
  }
  const problems = [
    ...undecided.map((name) => `${name} has no rule`),
    ...[...unused].map((name) => `${name} has a rule and is no field`),
  ]
  if (problems.length > 0) throw new Error(`The policy of the admin API is not complete: ${problems.join('; ')}.`)
}

const isObjectRule = (rule: Rule): rule is { role: Role; where: 'object' } =>
  typeof rule === 'object' && rule.where === 'object'

/** @returns the context for the resolver, which notes what it asks for */
function admit(rule: Rule, context: AdminContext, asked: Role[]): AdminContext {
  if (rule === 'anyone') return Object.create(context)
  const { viewer } = context
  if (!viewer) throw unauthenticated()
  if (typeof rule === 'object' && rule.where === 'global' && !holds(viewer.grants, rule.role, globalScope)) {
    throw forbidden()
  }
  const may = (role: Role, scope: Scope | undefined): boolean => {
    asked.push(role)
    if (!scope || !isVisible(viewer.grants, scope)) return false
    if (!holds(viewer.grants, role, scope)) throw forbidden()
    return true
  }
  return Object.assign(Object.create(context), { may })
}

/** What lies in the viewer's scopes; and an organization of which they may see a team, as the place of that team. */
function isVisible(grants: readonly { role: Role; scope: Scope }[], scope: Scope): boolean {
  return grants.some(
    (grant) =>
      covers(grant.scope, scope) ||
      (grant.scope.kind === 'team' &&
        scope.kind === 'organization' &&
        grant.scope.organizationId === scope.organizationId),
  )
}
