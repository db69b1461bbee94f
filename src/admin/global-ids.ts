/** Types whose objects can be fetched again, each with ids of its own. */
export const nodeTypes = [
  'AdminUser',
  'Alias',
  'ApiKey',
  'AuditEvent',
  'Budget',
  'CatalogSync',
  'Model',
  'Organization',
  'Provider',
  'RateLimit',
  'ServiceToken',
  'Team',
  'UsageRecord',
] as const
export type NodeType = (typeof nodeTypes)[number]

/** Things that have an id and are no nodes. */
export type IdType = NodeType | 'Price' | 'RoleBinding' | 'Session'

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export const toGlobalId = (type: IdType, id: string): string => Buffer.from(`${type}:${id}`).toString('base64url')

/** @returns undefined for what is none of ours */
export function fromGlobalId(globalId: string): { type: string; id: string } | undefined {
  if (globalId.length > 200) return undefined
  const [type = '', id = ''] = Buffer.from(globalId, 'base64url').toString('latin1').split(':')
  return uuid.test(id) ? { type, id } : undefined
}

/** @returns undefined also for the id of another type */
export function idOf(type: IdType, globalId: string): string | undefined {
  const found = fromGlobalId(globalId)
  return found?.type === type ? found.id : undefined
}
