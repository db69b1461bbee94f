import type { Pool, PoolClient } from 'pg'
import { inTransaction } from '../db/transaction.ts'
import { hasAdministrator, lockAdministrators } from './administrators.store.ts'
import { type AuditEntry, recordAudit } from './audit-trail.store.ts'
import type { Principal, Role, RoleGrant } from './principal.ts'
import { scopeOf } from './principal.ts'

/** Accounts, sessions and failed attempts in SQL. Methods throw what the database throws. */
export interface SignInStore {
  userByEmail(email: string): Promise<Account | undefined>
  userById(id: string): Promise<Account | undefined>
  tokenByName(serviceName: string): Promise<Account | undefined>
  /** Notes an attempt as failed. @returns how many there were in the window, this one included */
  noteAttempt(attempt: Attempt): Promise<AttemptCounts>
  forgetAttempt(id: string): Promise<void>
  /** Begins a family with its first refresh token. @param rehashed - of the account's secret, under today's parameters */
  begin(session: NewSession, rehashed: string | undefined): Promise<void>
  /** Exchanges a refresh token for the next, in one transaction; ends the family when it was used before. */
  rotate(rotation: Rotation): Promise<Rotated>
  /** Who is signed in; undefined when the session has ended, or the account may not be used any more. */
  principal(kind: Principal['kind'], id: string, sessionId: string): Promise<Principal | undefined>
  sessions(principal: Pick<Principal, 'kind' | 'id'>): Promise<SessionRow[]>
  /** @param sessionId - undefined ends all of the account's */
  end(principal: Pick<Principal, 'kind' | 'id'>, sessionId: string | undefined, audit: AuditEntry): Promise<number>
  /** Also ends every session but the one at hand. */
  changePassword(userId: string, hash: string, keptSessionId: string, audit: AuditEntry): Promise<void>
  hasAdministrator(): Promise<boolean>
  putSetupToken(hash: Buffer, lifeMs: number): Promise<void>
  /** The first account, with every right; undefined when the token is not in force or somebody was there before. */
  createFirst(first: FirstAdministrator): Promise<boolean>
}

export interface Account {
  kind: Principal['kind']
  id: string
  name: string
  /** Undefined where there is none: such an account signs in elsewhere. */
  secretHash: string | undefined
  isUsable: boolean
}

export interface Attempt {
  id: string
  account: string
  clientAddress: string
  windowMs: number
}

export interface AttemptCounts {
  here: number
  account: number
  address: number
}

export interface NewSession {
  id: string
  familyId: string
  kind: Principal['kind']
  accountId: string
  tokenHash: Buffer
  clientAddress: string
  userAgent: string
  lifeMs: number
  audit: AuditEntry
}

export interface Rotation {
  tokenHash: Buffer
  nextId: string
  nextTokenHash: Buffer
  clientAddress: string
  userAgent: string
  idleMs: number
  absoluteMs: number
  /** A client that has not heard the answer may ask again for so long. */
  repeatMs: number
  auditId: string
}

export type Rotated =
  | { outcome: 'rotated'; kind: Principal['kind']; accountId: string; sessionId: string }
  | { outcome: 'unknown' | 'ended' | 'reused' }

export interface SessionRow {
  id: string
  startedAt: Date
  lastUsedAt: Date
  expiresAt: Date
  clientAddress: string | null
  userAgent: string | null
}

export interface FirstAdministrator {
  id: string
  bindingId: string
  email: string
  displayName: string
  passwordHash: string
  /** Undefined when it comes from the configuration. */
  setupTokenHash: Buffer | undefined
  audit: AuditEntry
}

interface AccountRow {
  id: string
  name: string
  secret_hash: string | null
  is_usable: boolean
}

const accountOf = (kind: Principal['kind'], row: AccountRow | undefined): Account | undefined =>
  row && { kind, id: row.id, name: row.name, secretHash: row.secret_hash ?? undefined, isUsable: row.is_usable }

const selectUser = `select u.id, u.email as name, u.password_hash as secret_hash, u.disabled_at is null as is_usable
  from admin_users u`

const ownerColumn = { admin_user: 'admin_user_id', admin_token: 'admin_token_id' } as const

const liveFamily = `exists (
  select from sessions s
  where s.family_id = $2 and s.OWNER = $1 and s.revoked_at is null and s.replaced_at is null
    and s.expires_at > clock_timestamp())`

const principalSql = {
  admin_user: `
    select u.email as name, b.role, b.organization_id, b.team_id, t.organization_id as team_organization_id
    from admin_users u
    left join role_bindings b on b.admin_user_id = u.id
    left join teams t on t.id = b.team_id
    where u.id = $1 and u.disabled_at is null and ${liveFamily.replace('OWNER', ownerColumn.admin_user)}`,
  admin_token: `
    select k.service_name as name, b.role, b.organization_id, b.team_id, t.organization_id as team_organization_id
    from admin_tokens k
    left join role_bindings b on b.admin_token_id = k.id
    left join teams t on t.id = b.team_id
    where k.id = $1 and k.revoked_at is null and (k.expires_at is null or k.expires_at > clock_timestamp())
      and ${liveFamily.replace('OWNER', ownerColumn.admin_token)}`,
}

interface PrincipalRow {
  name: string
  role: Role | null
  organization_id: string | null
  team_id: string | null
  team_organization_id: string | null
}

export function createSignInStore(pool: Pool): SignInStore {
  const one = async <Row extends object>(sql: string, values: unknown[]): Promise<Row | undefined> =>
    (await pool.query<Row>(sql, values)).rows[0]
  return {
    userByEmail: async (email) => accountOf('admin_user', await one(`${selectUser} where u.email = $1`, [email])),
    userById: async (id) => accountOf('admin_user', await one(`${selectUser} where u.id = $1`, [id])),
    tokenByName: async (serviceName) =>
      accountOf(
        'admin_token',
        await one(
          `select k.id, k.service_name as name, k.token_hash as secret_hash,
             k.revoked_at is null and (k.expires_at is null or k.expires_at > clock_timestamp()) as is_usable
           from admin_tokens k where k.service_name = $1`,
          [serviceName],
        ),
      ),

    async noteAttempt({ id, account, clientAddress, windowMs }) {
      await pool.query('insert into sign_in_failures (id, account, client_address) values ($1, $2, $3)', [
        id,
        account,
        clientAddress,
      ])
      const counts = await one<Record<keyof AttemptCounts, number>>(
        `select count(*) filter (where f.account = $1 and f.client_address = $2)::integer as here,
           count(*) filter (where f.account = $1)::integer as account,
           count(*) filter (where f.client_address = $2)::integer as address
         from sign_in_failures f
         where (f.account = $1 or f.client_address = $2)
           and f.created_at > clock_timestamp() - $3 * interval '1 millisecond'`,
        [account, clientAddress, windowMs],
      )
      // What is too old to count is cleared away by whoever tries next.
      await pool.query(
        `delete from sign_in_failures f where f.created_at < clock_timestamp() - $1 * interval '1 millisecond'`,
        [2 * windowMs],
      )
      return counts as AttemptCounts // an aggregate gives one row
    },
    async forgetAttempt(id) {
      await pool.query('delete from sign_in_failures f where f.id = $1', [id])
    },

    begin: (session, rehashed) =>
      inTransaction(pool, async (client) => {
        const isUser = session.kind === 'admin_user'
        await client.query(
          `insert into sessions
             (id, family_id, admin_user_id, admin_token_id, refresh_token_hash, client_address, user_agent, expires_at)
           values ($1, $2, $3, $4, $5, $6, $7, clock_timestamp() + $8 * interval '1 millisecond')`,
          [
            session.id,
            session.familyId,
            isUser ? session.accountId : null,
            isUser ? null : session.accountId,
            session.tokenHash,
            session.clientAddress,
            session.userAgent,
            session.lifeMs,
          ],
        )
        const table = isUser ? 'admin_users' : 'admin_tokens'
        const [used, secret] = isUser ? ['last_signed_in_at', 'password_hash'] : ['last_used_at', 'token_hash']
        await client.query(
          `update ${table} set ${used} = clock_timestamp(), ${secret} = coalesce($2, ${secret}) where id = $1`,
          [session.accountId, rehashed ?? null],
        )
        await recordAudit(client, session.audit, {
          action: 'session.begin',
          subjectKind: 'session',
          subjectId: session.familyId,
          after: {
            address: session.clientAddress,
          },
        })
      }),

    rotate: (rotation) => inTransaction(pool, (client) => rotate(client, rotation)),

    async principal(kind, id, sessionId) {
      const { rows } = await pool.query<PrincipalRow>(principalSql[kind], [id, sessionId])
      const [first] = rows
      if (!first) return undefined
      return { kind, id, name: first.name, sessionId, grants: rows.flatMap((row) => grantOf(row) ?? []) }
    },

    async sessions({ kind, id }) {
      const { rows } = await pool.query<SessionRow>(
        `select s.family_id as id, f.started_at as "startedAt", s.created_at as "lastUsedAt", s.expires_at as "expiresAt",
           s.client_address as "clientAddress", s.user_agent as "userAgent"
         from sessions s
         cross join lateral (select min(o.created_at) as started_at from sessions o where o.family_id = s.family_id) f
         where s.${ownerColumn[kind]} = $1 and s.revoked_at is null and s.replaced_at is null
           and s.expires_at > clock_timestamp()
         order by s.created_at desc limit 100`,
        [id],
      )
      return rows
    },

    end: ({ kind, id }, sessionId, entry) =>
      inTransaction(pool, async (client) => {
        const ended = await endFamilies(client, kind, id, { only: sessionId })
        if (ended > 0)
          await recordAudit(client, entry, {
            action: 'session.end',
            subjectKind: 'session',
            subjectId: sessionId ?? 'all',
            after: { ended },
          })
        return ended
      }),

    changePassword: (userId, hash, keptSessionId, entry) =>
      inTransaction(pool, async (client) => {
        await client.query('update admin_users set password_hash = $2 where id = $1', [userId, hash])
        const ended = await endFamilies(client, 'admin_user', userId, { except: keptSessionId })
        await recordAudit(client, entry, {
          action: 'admin_user.password',
          subjectKind: 'admin_user',
          subjectId: userId,
          after: { ended_sessions: ended },
        })
      }),

    hasAdministrator: () => hasAdministrator(pool),
    async putSetupToken(hash, lifeMs) {
      await pool.query('delete from setup_tokens where expires_at < clock_timestamp()')
      await pool.query(
        `insert into setup_tokens (token_hash, expires_at) values ($1, clock_timestamp() + $2 * interval '1 millisecond')`,
        [hash, lifeMs],
      )
    },
    createFirst: (first) => inTransaction(pool, (client) => createFirst(client, first)),
  }
}

function grantOf(row: PrincipalRow): RoleGrant | undefined {
  const { role, organization_id, team_id, team_organization_id } = row
  if (role === null) return undefined
  if (team_id !== null) return { role, scope: scopeOf(team_organization_id as string, team_id) }
  return { role, scope: organization_id === null ? { kind: 'global' } : scopeOf(organization_id, null) }
}

interface SessionToRotate {
  id: string
  family_id: string
  admin_user_id: string | null
  admin_token_id: string | null
  is_over: boolean
  is_replaced: boolean
  /** The client has asked a moment ago, and not used what it was given. */
  may_repeat: boolean
}

async function rotate(client: PoolClient, rotation: Rotation): Promise<Rotated> {
  const { rows } = await client.query<SessionToRotate>(
    `select s.id, s.family_id, s.admin_user_id, s.admin_token_id,
       s.revoked_at is not null or s.expires_at <= clock_timestamp() as is_over, s.replaced_at is not null as is_replaced,
       s.replaced_at > clock_timestamp() - $2 * interval '1 millisecond'
         and not exists (select from sessions c where c.parent_id = s.id and c.replaced_at is not null) as may_repeat
     from sessions s where s.refresh_token_hash = $1 for update of s`,
    [rotation.tokenHash, rotation.repeatMs],
  )
  const [session] = rows
  if (!session) return { outcome: 'unknown' }
  const kind = session.admin_user_id === null ? 'admin_token' : 'admin_user'
  const accountId = (session.admin_user_id ?? session.admin_token_id) as string
  const rotated = { outcome: 'rotated', kind, accountId, sessionId: session.family_id } as const
  if (session.is_over) return { outcome: 'ended' }
  if (session.is_replaced) {
    if (session.may_repeat) return rotated
    await endFamilies(client, kind, accountId, { only: session.family_id })
    const entry = { id: rotation.auditId, actor: { kind, id: accountId } as const }
    await recordAudit(client, entry, {
      action: 'session.refresh_reused',
      subjectKind: 'session',
      subjectId: session.family_id,
      after: {
        address: rotation.clientAddress,
      },
    })
    return { outcome: 'reused' }
  }
  await client.query('update sessions set replaced_at = clock_timestamp() where id = $1', [session.id])
  await client.query(
    `insert into sessions (id, family_id, parent_id, admin_user_id, admin_token_id, refresh_token_hash, client_address,
       user_agent, expires_at)
     select $1, $2, $3, $4, $5, $6, $7, $8, least(
       clock_timestamp() + $9 * interval '1 millisecond',
       min(s.created_at) + $10 * interval '1 millisecond')
     from sessions s where s.family_id = $2`,
    [
      rotation.nextId,
      session.family_id,
      session.id,
      session.admin_user_id,
      session.admin_token_id,
      rotation.nextTokenHash,
      rotation.clientAddress,
      rotation.userAgent,
      rotation.idleMs,
      rotation.absoluteMs,
    ],
  )
  return rotated
}

/** @returns how many families were in force */
async function endFamilies(
  client: PoolClient,
  kind: Principal['kind'],
  accountId: string,
  { only, except }: { only?: string | undefined; except?: string | undefined },
): Promise<number> {
  const { rows } = await client.query<{ ended: number }>(
    `with ended as (
       update sessions s set revoked_at = clock_timestamp()
       where s.${ownerColumn[kind]} = $1 and s.revoked_at is null
         and ($2::uuid is null or s.family_id = $2) and ($3::uuid is null or s.family_id <> $3)
       returning s.family_id, s.replaced_at
     )
     select count(*) filter (where ended.replaced_at is null)::integer as ended from ended`,
    [accountId, only ?? null, except ?? null],
  )
  return rows[0]?.ended ?? 0
}

async function createFirst(client: PoolClient, first: FirstAdministrator): Promise<boolean> {
  await lockAdministrators(client)
  if (await hasAdministrator(client)) return false
  if (first.setupTokenHash) {
    const { rowCount } = await client.query(
      'select from setup_tokens t where t.token_hash = $1 and t.expires_at > clock_timestamp()',
      [first.setupTokenHash],
    )
    if (rowCount === 0) return false
  }
  const { rows: users } = await client.query<{ id: string }>(
    `insert into admin_users (id, email, display_name, password_hash) values ($1, $2, $3, $4)
     on conflict (email) do update set password_hash = excluded.password_hash, disabled_at = null
     returning id`,
    [first.id, first.email, first.displayName, first.passwordHash],
  )
  const id = users[0]?.id as string // the upsert gives one row
  await client.query(`insert into role_bindings (id, admin_user_id, role) values ($1, $2, 'admin')`, [
    first.bindingId,
    id,
  ])
  await client.query('delete from setup_tokens')
  await recordAudit(client, first.audit, {
    action: 'admin_user.first',
    subjectKind: 'admin_user',
    subjectId: id,
    after: { email: first.email },
  })
  return true
}
