import type { ConfigProblem } from './problem.ts'
import { type Item, itemsOf, memberOf, repeated, textOf } from './unchecked-content.ts'

/**
 * Whom the budgets and rate limits of the top level are for: each for one owner, none twice. Like `crossCheck`, it takes
 * the file before its fields are checked.
 */
export function checkScopes(content: unknown): ConfigProblem[] {
  const budgets = itemsOf(content, 'budgets')
  const rateLimits = itemsOf(content, 'rateLimits')
  return [
    ...budgets.flatMap(budgetOwnerProblems),
    ...repeated(budgets, 'period', budgetIdentity),
    ...rateLimits.flatMap(limitProblems),
    ...repeated(rateLimits, 'organization', limitIdentity),
  ]
}

const has = (item: unknown, field: string): boolean => (memberOf(item, field) ?? undefined) !== undefined

function budgetOwnerProblems({ path, item }: Item): ConfigProblem[] {
  const hasTeam = has(item, 'team')
  if (hasTeam && has(item, 'tag')) {
    return [{ path: `${path}.tag`, message: 'stands beside a team; a budget is for one of them' }]
  }
  if (has(item, 'organization') || (!hasTeam && has(item, 'tag'))) return []
  const message = hasTeam
    ? 'is missing; a team belongs to an organization'
    : 'is missing; a budget is for an organization, a team in one, or a tag'
  return [{ path: `${path}.organization`, message }]
}

function budgetIdentity(item: unknown): string | undefined {
  const tag = memberOf(item, 'tag')
  const tagParts = [textOf(tag, 'name'), textOf(tag, 'value')]
  const owner = [textOf(item, 'organization'), textOf(item, 'team'), ...tagParts]
  const period = textOf(item, 'period')
  if (period === undefined || owner.every((part) => part === undefined)) return undefined
  if (tag !== undefined && tagParts.includes(undefined)) return undefined
  return JSON.stringify([...owner.map((part) => part ?? null), period, textOf(item, 'timeZone') ?? 'UTC'])
}

const limitKinds = ['requestsPerMinute', 'tokensPerMinute', 'maxConcurrent'] as const

/** Silence would read as a limit. A missing organization is its field's problem. */
function limitProblems({ path, item }: Item): ConfigProblem[] {
  if (limitKinds.some((kind) => has(item, kind))) return []
  return [{ path, message: `limits nothing; expected ${limitKinds.join(', ').replace(/, (?=\w+$)/, ' or ')}` }]
}

function limitIdentity(item: unknown): string | undefined {
  const organization = textOf(item, 'organization')
  return organization === undefined ? undefined : JSON.stringify([organization, textOf(item, 'team') ?? null])
}
