import type { Pool, PoolClient } from 'pg'
import { searchPattern } from '../db/search-pattern.ts'
import { inTransaction } from '../db/transaction.ts'
import type { Actor } from '../keys/keys.ts'
import type { Refusal } from '../refusal.ts'
import { hasAdministrator, lockAdministrators } from './administrators.store.ts'
import { type AuditedChange, idempotencyConstraint, recordAudit } from './audit-trail.store.ts'
import type { Principal, Role, Scope, VisibleTenants } from './principal.ts'

/** Tenants, accounts and what they may do, in SQL. A change and its audit event commit together or not at all. */
export interface AdministrationStore {
  organizations(query: TenantQuery): Promise<Organization[]>
  organizationsById(ids: readonly string[]): Promise<Organization[]>
  teams(query: TeamQuery): Promise<Team[]>
  teamsById(ids: readonly string[]): Promise<Team[]>
  users(query: AccountQuery): Promise<AdminUser[]>
  usersById(ids: readonly string[]): Promise<AdminUser[]>
  serviceTokens(query: AccountQuery): Promise<ServiceToken[]>
  serviceTokensById(ids: readonly string[]): Promise<ServiceToken[]>
  bindingsOf(kind: Principal['kind'], accountIds: readonly string[]): Promise<RoleBinding[]>
  bindingById(id: string): Promise<RoleBinding | undefined>
  insertOrganization(change: Change & { slug: string; name: string }): Promise<Changed<Organization>>
  renameOrganization(change: Change & { name: string }): Promise<Changed<Organization>>
  renameTeam(change: Change & { name: string }): Promise<Changed<Team>>
  insertTeam(change: Change & { organizationId: string; slug: string; name: string }): Promise<Changed<Team>>
  insertUser(change: Change & { email: string; displayName: string; passwordHash: string }): Promise<Changed<AdminUser>>
  /** Ends all sessions of the account. */
  setUserPassword(change: Change & { passwordHash: string }): Promise<Changed<AdminUser>>
  setUserEnabled(change: Change & { enabled: boolean }): Promise<Changed<AdminUser>>
  insertServiceToken(
    change: Change & { serviceName: string; tokenHash: string; expiresAtMs: number | undefined },
  ): Promise<Changed<ServiceToken>>
  revokeServiceToken(change: Change): Promise<Changed<ServiceToken>>
  insertBinding(
    change: Change & { kind: Principal['kind']; accountId: string; role: Role; scope: Scope },
  ): Promise<Changed<RoleBinding>>
  deleteBinding(change: Change): Promise<Changed<undefined>>
}

/** @param id - of what is made or changed */
export interface Change {
  id: string
  auditId: string
  actor: Actor
}

export type Changed<T> = { ok: true; value: T } | { ok: false; refusal: Refusal }

export interface Page {
  /** The sort key that the page before ended with. */
  after: string | undefined
  /** From 1; one more tells whether there is a next page. */
  limit: number
}

export interface TenantQuery extends Page {
  visible: VisibleTenants
  search: string | undefined
}

export interface TeamQuery {
  visible: VisibleTenants
  organizationIds: readonly string[]
  /** Of each organization. */
  limit: number
}

export interface AccountQuery extends Page {
  search: string | undefined
}

export interface Organization {
  id: string
  slug: string
  name: string
  createdAt: Date
}

export interface Team extends Organization {
  organizationId: string
}

export interface AdminUser {
  id: string
  email: string
  displayName: string
  disabledAt: Date | null
  lastSignedInAt: Date | null
  createdAt: Date
}

export interface ServiceToken {
  id: string
  serviceName: string
  expiresAt: Date | null
  revokedAt: Date | null
  lastUsedAt: Date | null
  createdAt: Date
}

export interface RoleBinding {
  id: string
  kind: Principal['kind']
  accountId: string
  role: Role
  scope: Scope
}

const selectOrganization = `select o.id, o.slug, o.name, o.created_at as "createdAt" from organizations o`
const selectTeam = `select t.id, t.slug, t.name, t.organization_id as "organizationId", t.created_at as "createdAt" from teams t`
const selectUser = `select u.id, u.email, u.display_name as "displayName", u.disabled_at as "disabledAt",
  u.last_signed_in_at as "lastSignedInAt", u.created_at as "createdAt" from admin_users u`
const selectServiceToken = `select k.id, k.service_name as "serviceName", k.expires_at as "expiresAt",
  k.revoked_at as "revokedAt", k.last_used_at as "lastUsedAt", k.created_at as "createdAt" from admin_tokens k`
const selectBinding = `select b.id, case when b.admin_user_id is null then 'admin_token' else 'admin_user' end as kind,
  coalesce(b.admin_user_id, b.admin_token_id) as "accountId", b.role,
  case when b.team_id is not null
      then json_build_object('kind', 'team', 'organizationId', t.organization_id, 'teamId', b.team_id)
    when b.organization_id is not null
      then json_build_object('kind', 'organization', 'organizationId', b.organization_id)
    else json_build_object('kind', 'global') end as scope
  from role_bindings b left join teams t on t.id = b.team_id`

/** Of a whole organization, or of one of its teams that may be seen. */
const organizationVisible = `($1 or o.id = any ($2) or exists (select from teams v where v.organization_id = o.id and v.id = any ($3)))`
const teamVisible = `($1 or t.organization_id = any ($2) or t.id = any ($3))`

const visibility = ({ everything, organizationIds, teamIds }: VisibleTenants): unknown[] => [
  everything,
  organizationIds,
  teamIds,
]

export function createAdministrationStore(pool: Pool): AdministrationStore {
  const all = async <Row extends object>(sql: string, values: unknown[]): Promise<Row[]> =>
    (await pool.query<Row>(sql, values)).rows
  const byId = <Row extends object>(select: string, alias: string, ids: readonly string[]): Promise<Row[]> =>
    all<Row>(`${select} where ${alias}.id = any ($1)`, [ids])
  const change = <T>(work: (client: PoolClient) => Promise<Changed<T>>): Promise<Changed<T>> =>
    inTransaction(pool, work).catch((error: unknown) => {
      const { code, constraint } = error as { code?: string; constraint?: string }
      if (code !== '23505' || constraint === idempotencyConstraint) throw error // no unique_violation of a name
      return { ok: false, refusal: { code: 'conflict', message: 'There is one of this name already.', path: [] } }
    })

  return {
    organizations: ({ visible, search, after, limit }) =>
      all(
        `${selectOrganization}
         where ${organizationVisible} and ($4::text is null or o.name ilike $4) and ($5::text is null or o.slug > $5)
         order by o.slug limit $6`,
        [...visibility(visible), searchPattern(search), after ?? null, limit],
      ),
    organizationsById: (ids) => byId(selectOrganization, 'o', ids),
    teams: ({ visible, organizationIds, limit }) =>
      all(
        `select t.* from unnest($4::uuid[]) as wanted (id) cross join lateral (
           ${selectTeam} where t.organization_id = wanted.id and ${teamVisible} order by t.slug limit $5) t`,
        [...visibility(visible), organizationIds, limit],
      ),
    teamsById: (ids) => byId(selectTeam, 't', ids),
    users: ({ search, after, limit }) =>
      all(
        `${selectUser}
         where ($1::text is null or u.email ilike $1 or u.display_name ilike $1) and ($2::text is null or u.email > $2)
         order by u.email limit $3`,
        [searchPattern(search), after ?? null, limit],
      ),
    usersById: (ids) => byId(selectUser, 'u', ids),
    serviceTokens: ({ after, limit }) =>
      all(`${selectServiceToken} where ($1::text is null or k.service_name > $1) order by k.service_name limit $2`, [
        after ?? null,
        limit,
      ]),
    serviceTokensById: (ids) => byId(selectServiceToken, 'k', ids),
    bindingsOf: (kind, accountIds) =>
      all(`${selectBinding} where b.${kind}_id = any ($1) order by b.created_at, b.id`, [accountIds]),
    bindingById: async (id) => (await byId<RoleBinding>(selectBinding, 'b', [id]))[0],

    insertOrganization: (given) =>
      change(async (client) => {
        const { id, slug, name } = given
        await client.query('insert into organizations (id, slug, name) values ($1, $2, $3)', [id, slug, name])
        await audit(client, given, {
          action: 'organization.create',
          subjectKind: 'organization',
          organizationId: id,
          after: { slug, name },
        })
        return changed(client, selectOrganization, 'o', id)
      }),
    insertTeam: (given) =>
      change(async (client) => {
        const { id, organizationId, slug, name } = given
        const values = [id, organizationId, slug, name]
        await client.query('insert into teams (id, organization_id, slug, name) values ($1, $2, $3, $4)', values)
        await audit(client, given, {
          action: 'team.create',
          subjectKind: 'team',
          organizationId,
          after: { slug, name },
        })
        return changed(client, selectTeam, 't', id)
      }),
    renameOrganization: (given) =>
      change(async (client) => {
        const before = await changed<Organization>(client, selectOrganization, 'o', given.id)
        if (!before.ok) return refused('not_found', 'There is no such organization.', 'organizationId')
        await client.query('update organizations set name = $2 where id = $1', [given.id, given.name])
        await audit(client, given, {
          action: 'organization.update',
          subjectKind: 'organization',
          organizationId: given.id,
          before: { name: before.value.name },
          after: { name: given.name },
        })
        return changed(client, selectOrganization, 'o', given.id)
      }),
    renameTeam: (given) =>
      change(async (client) => {
        const before = await changed<Team>(client, selectTeam, 't', given.id)
        if (!before.ok) return refused('not_found', 'There is no such team.', 'teamId')
        await client.query('update teams set name = $2 where id = $1', [given.id, given.name])
        await audit(client, given, {
          action: 'team.update',
          subjectKind: 'team',
          organizationId: before.value.organizationId,
          before: { name: before.value.name },
          after: { name: given.name },
        })
        return changed(client, selectTeam, 't', given.id)
      }),
    setUserPassword: (given) =>
      change<AdminUser>(async (client) => {
        const { id, passwordHash } = given
        const { rowCount } = await client.query('update admin_users set password_hash = $2 where id = $1', [
          id,
          passwordHash,
        ])
        if (!rowCount) return refused('not_found', 'There is no such account.', 'adminUserId')
        await client.query(
          'update sessions set revoked_at = clock_timestamp() where admin_user_id = $1 and revoked_at is null',
          [id],
        )
        await audit(client, given, { action: 'admin_user.set_password', subjectKind: 'admin_user' })
        return changed(client, selectUser, 'u', id)
      }),
    insertUser: (given) =>
      change(async (client) => {
        const { id, email, displayName, passwordHash } = given
        await client.query('insert into admin_users (id, email, display_name, password_hash) values ($1, $2, $3, $4)', [
          id,
          email,
          displayName,
          passwordHash,
        ])
        await audit(client, given, {
          action: 'admin_user.create',
          subjectKind: 'admin_user',
          after: { email, displayName },
        })
        return changed(client, selectUser, 'u', id)
      }),
    setUserEnabled: (given) =>
      change<AdminUser>(async (client) => {
        const { id, enabled } = given
        await lockAdministrators(client)
        const { rows } = await client.query<{ disabled_at: Date | null }>(
          'select u.disabled_at from admin_users u where u.id = $1 for update',
          [id],
        )
        if (!rows[0]) return refused('not_found', 'There is no such account.', 'adminUserId')
        const isEnabled = rows[0].disabled_at === null
        if (isEnabled !== enabled) {
          const at = enabled ? 'null' : 'clock_timestamp()'
          await client.query(`update admin_users set disabled_at = ${at} where id = $1`, [id])
          if (!enabled) {
            await client.query(
              'update sessions set revoked_at = clock_timestamp() where admin_user_id = $1 and revoked_at is null',
              [id],
            )
          }
          if (!(await hasAdministrator(client))) throw new LastAdministrator()
          const action = enabled ? 'admin_user.enable' : 'admin_user.disable'
          await audit(client, given, {
            action,
            subjectKind: 'admin_user',
            before: { enabled: isEnabled },
            after: { enabled },
          })
        }
        return changed(client, selectUser, 'u', id)
      }).catch(refuseLastAdministrator),
    insertServiceToken: (given) =>
      change(async (client) => {
        const { id, serviceName, tokenHash, expiresAtMs } = given
        const expiresAt = expiresAtMs === undefined ? null : new Date(expiresAtMs)
        await client.query(
          'insert into admin_tokens (id, service_name, token_hash, expires_at) values ($1, $2, $3, $4)',
          [id, serviceName, tokenHash, expiresAt],
        )
        await audit(client, given, {
          action: 'admin_token.create',
          subjectKind: 'admin_token',
          after: {
            serviceName,
            expiresAt,
          },
        })
        return changed(client, selectServiceToken, 'k', id)
      }),
    revokeServiceToken: (given) =>
      change(async (client) => {
        const { rows } = await client.query(
          'update admin_tokens set revoked_at = clock_timestamp() where id = $1 and revoked_at is null returning id',
          [given.id],
        )
        if (rows[0]) {
          await client.query(
            'update sessions set revoked_at = clock_timestamp() where admin_token_id = $1 and revoked_at is null',
            [given.id],
          )
          await audit(client, given, {
            action: 'admin_token.revoke',
            subjectKind: 'admin_token',
            before: { revoked: false },
            after: { revoked: true },
          })
        }
        const found = await changed<ServiceToken>(client, selectServiceToken, 'k', given.id)
        return found.ok ? found : refused('not_found', 'There is no such service token.', 'serviceTokenId')
      }),
    insertBinding: (given) =>
      change(async (client) => {
        const { id, kind, accountId, role, scope } = given
        const isUser = kind === 'admin_user'
        await client.query(
          `insert into role_bindings (id, admin_user_id, admin_token_id, role, organization_id, team_id)
           values ($1, $2, $3, $4, $5, $6)`,
          [
            id,
            isUser ? accountId : null,
            isUser ? null : accountId,
            role,
            scope.kind === 'organization' ? scope.organizationId : null,
            scope.kind === 'team' ? scope.teamId : null,
          ],
        )
        const organizationId = scope.kind === 'global' ? undefined : scope.organizationId
        await audit(client, given, {
          action: 'role.grant',
          subjectKind: kind,
          organizationId,
          after: { accountId, role, scope },
        })
        return changed(client, selectBinding, 'b', id)
      }),
    deleteBinding: (given) =>
      change<undefined>(async (client) => {
        await lockAdministrators(client)
        const found = await changed<RoleBinding>(client, selectBinding, 'b', given.id)
        if (!found.ok) return refused('not_found', 'There is no such role.', 'roleBindingId')
        await client.query('delete from role_bindings where id = $1', [given.id])
        if (!(await hasAdministrator(client))) throw new LastAdministrator()
        const { kind, accountId, role, scope } = found.value
        const organizationId = scope.kind === 'global' ? undefined : scope.organizationId
        await audit(client, given, {
          action: 'role.revoke',
          subjectKind: kind,
          organizationId,
          before: { accountId, role, scope },
        })
        return { ok: true, value: undefined }
      }).catch(refuseLastAdministrator),
  }
}

/** Thrown, so that the transaction is rolled back. */
class LastAdministrator extends Error {}

function refuseLastAdministrator(error: unknown): { ok: false; refusal: Refusal } {
  if (!(error instanceof LastAdministrator)) throw error
  const message = 'Nobody would be left who administers the whole gateway.'
  return { ok: false, refusal: { code: 'conflict', message, path: [] } }
}

async function changed<T extends object>(
  client: PoolClient,
  select: string,
  alias: string,
  id: string,
): Promise<Changed<T>> {
  const { rows } = await client.query<T>(`${select} where ${alias}.id = $1`, [id])
  return rows[0] ? { ok: true, value: rows[0] } : refused('not_found', 'It is not there.')
}

const refused = (code: Refusal['code'], message: string, ...path: string[]): { ok: false; refusal: Refusal } => ({
  ok: false,
  refusal: { code, message, path },
})

const audit = (client: PoolClient, { id, auditId, actor }: Change, change: Omit<AuditedChange, 'subjectId'>) =>
  recordAudit(client, { id: auditId, actor }, { ...change, subjectId: id })
