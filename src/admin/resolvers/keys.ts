import { scopeOf } from '../../core/access/principal.ts'
import { type Key, keyState } from '../../core/keys/keys.ts'
import type { MetadataInput, Resolvers, TagInput, UnpricedModels } from '../../generated/graphql.ts'
import { connectionOf, limitOf, positionIn } from '../connections.ts'
import { type AdminContext, actorOf } from '../context.ts'
import { enumName } from '../enum-names.ts'
import { badInput, notFound, payloadError } from '../errors.ts'
import { fromGlobalId, idOf, toGlobalId } from '../global-ids.ts'
import { byName, jsonIn } from '../named-values.ts'
import { scopeFrom, searchOf } from './access.ts'
import { found } from './tenants.ts'

const states = { active: 'ACTIVE', disabled: 'DISABLED', expired: 'EXPIRED', revoked: 'REVOKED' } as const

export const keyResolvers: Resolvers = {
  Query: {
    async apiKeys(_root, { first, after, filter }, context) {
      const [createdAt, id] = positionIn(after, 2) ?? []
      const tag = filter?.tag
      const page = await context.keys.list({
        visible: context.visible,
        ...ownerIds(filter?.ownerId),
        search: searchOf(filter?.search),
        tag: tag ? { key: tag.name, value: tag.value } : undefined,
        after: createdAt !== undefined && id !== undefined ? { createdAt, id } : undefined,
        limit: limitOf(first) - 1,
      })
      const cursors = new Map(page.cursors.map((cursor) => [cursor.id, cursor.createdAt]))
      const connection = connectionOf(page.keys, first, (key) => [cursors.get(key.id) ?? '', key.id])
      return { ...connection, pageInfo: { ...connection.pageInfo, hasNextPage: page.next !== undefined } }
    },
  },

  Mutation: {
    async apiKeyCreate(_root, { input }, context) {
      const scope = input.ownerId ? await scopeFrom(input.ownerId, context) : undefined
      if (!context.may('editor', scope) || !scope || scope.kind === 'global') {
        return { apiKey: null, secret: null, errors: [notFound('organization or team', 'ownerId')] }
      }
      const { name, allowedModels, expiresAt, description, tags, metadata, unpricedModels } = input
      const made = await context.keys.create(
        {
          name,
          organization: { id: scope.organizationId },
          team: scope.kind === 'team' ? { id: scope.teamId } : undefined,
          allowedModels: allowedModels ?? undefined,
          expiresAtMs: expiresAt?.getTime(),
          description: description ?? undefined,
          tags: tagsIn(tags),
          metadata: metadataIn(metadata),
          unpricedPolicy: unpricedModels ? policyOf(unpricedModels) : undefined,
        },
        actorOf(context),
      )
      return made.ok
        ? { apiKey: made.key, secret: made.secret, errors: [] }
        : { apiKey: null, secret: null, errors: made.refusals.map(payloadError) }
    },
    async apiKeyUpdate(_root, { input }, context) {
      const key = await editableKey(input.apiKeyId, context)
      if (!key) return { apiKey: null, errors: [notFound('key', 'apiKeyId')] }
      const { name, allowedModels, expiresAt, description, tags, metadata, unpricedModels } = input
      const changed = await context.keys.update(
        key.id,
        {
          name: name ?? undefined,
          allowedModels,
          expiresAtMs: expiresAt?.getTime() ?? (expiresAt as null | undefined),
          description,
          tags: tags ? tagsIn(tags) : undefined,
          metadata: metadata ? metadataIn(metadata) : undefined,
          unpricedPolicy: unpricedModels ? policyOf(unpricedModels) : unpricedModels,
        },
        actorOf(context),
      )
      return changed.ok
        ? { apiKey: changed.key, errors: [] }
        : { apiKey: null, errors: changed.refusals.map(payloadError) }
    },
    async apiKeyRotate(_root, { input }, context) {
      const key = await editableKey(input.apiKeyId, context)
      if (!key) return { apiKey: null, secret: null, errors: [notFound('key', 'apiKeyId')] }
      const rotated = await context.keys.rotate(key.id, input.overlapSeconds * 1_000, actorOf(context))
      return rotated.ok
        ? { apiKey: rotated.key, secret: rotated.secret, errors: [] }
        : { apiKey: null, secret: null, errors: rotated.refusals.map(payloadError) }
    },
    async apiKeyRevoke(_root, { input }, context) {
      const key = await editableKey(input.apiKeyId, context)
      if (!key) return { apiKey: null, errors: [notFound('key', 'apiKeyId')] }
      const changed = await context.keys.revoke(key.id, actorOf(context), { terminate: input.terminate })
      return changed.ok
        ? { apiKey: changed.key, errors: [] }
        : { apiKey: null, errors: changed.refusals.map(payloadError) }
    },
    async apiKeySetEnabled(_root, { input }, context) {
      const key = await editableKey(input.apiKeyId, context)
      if (!key) return { apiKey: null, errors: [notFound('key', 'apiKeyId')] }
      const changed = await context.keys.setEnabled(key.id, input.enabled, actorOf(context))
      return changed.ok
        ? { apiKey: changed.key, errors: [] }
        : { apiKey: null, errors: changed.refusals.map(payloadError) }
    },
  },

  ApiKey: {
    id: ({ id }) => toGlobalId('ApiKey', id),
    organization: ({ organization }, _args, { loaders }) => found(loaders.organizations.load(organization.id)),
    team: ({ team }, _args, { loaders }) => (team ? found(loaders.teams.load(team.id)) : null),
    state: (key, _args, { clock }) => states[keyState(key, clock.nowMs())],
    allowedModels: ({ allowedModels }) => (allowedModels ? [...allowedModels] : null),
    expiresAt: ({ expiresAtMs }) => dateOf(expiresAtMs),
    revokedAt: ({ revokedAtMs }) => dateOf(revokedAtMs),
    createdAt: ({ createdAtMs }) => new Date(createdAtMs),
    description: ({ description }) => description ?? null,
    tags: ({ tags }) => tagsOf(tags),
    metadata: ({ metadata }) =>
      Object.entries(metadata).map(([name, value]) => ({ name, value: JSON.stringify(value) })),
    unpricedModels: ({ unpricedPolicy }) => (unpricedPolicy ? enumName(unpricedPolicy) : null),
    previousSecretUntil: ({ previousUntilMs }) => dateOf(previousUntilMs),
    rateLimit: ({ id }, _args, { loaders }) => loaders.rateLimits.load(id),
    managedBy: ({ managedBy }) => enumName(managedBy),
  },
}

async function editableKey(globalId: string, context: AdminContext): Promise<Key | undefined> {
  const id = idOf('ApiKey', globalId)
  const key = id === undefined ? undefined : await context.keys.get(id)
  return context.may('editor', key && scopeOf(key.organization.id, key.team?.id)) ? key : undefined
}

const tagsIn = (tags: readonly TagInput[]): Record<string, string> => byName(tags, ({ value }) => value)

const metadataIn = (metadata: readonly MetadataInput[]): Record<string, unknown> =>
  byName(metadata, ({ name, value }) => jsonIn(value, name))

const policyOf = (models: UnpricedModels) => models.toLowerCase() as Lowercase<UnpricedModels>

const dateOf = (ms: number | undefined): Date | null => (ms === undefined ? null : new Date(ms))

export const tagsOf = (tags: Readonly<Record<string, string>>): { name: string; value: string }[] =>
  Object.entries(tags).map(([name, value]) => ({ name, value }))

/** What the viewer may not see in it is left out by the query itself. */
export function ownerIds(globalId: string | null | undefined): {
  organizationId?: string | undefined
  teamId?: string | undefined
} {
  if (!globalId) return {}
  const owner = fromGlobalId(globalId)
  if (owner?.type === 'Organization') return { organizationId: owner.id }
  if (owner?.type === 'Team') return { teamId: owner.id }
  throw badInput('ownerId is neither of an Organization nor of a Team.')
}
