import type { Pool, PoolClient } from 'pg'
import { inDecidedTransaction } from '../db/transaction.ts'
import { recordAudit } from './audit-trail.store.ts'
import type { Role } from './principal.ts'
import type { GroupRole } from './single-sign-on.ts'

/** Sign-ins under way at an identity provider, and the accounts of whoever comes back from there, in SQL. */
export interface SingleSignOnStore {
  putLogin(login: NewLogin): Promise<void>
  /** Once, and in the browser that has begun it. */
  takeLogin(stateHash: Buffer, browserHash: Buffer): Promise<Login | undefined>
  /** Makes the account at the first time; its roles are those of its groups from now on. */
  signInUser(user: IdentifiedUser): Promise<{ ok: true; id: string } | { ok: false; message: string }>
}

export interface Login {
  nonce: string
  codeVerifier: string
  returnPath: string
}

export interface NewLogin extends Login {
  stateHash: Buffer
  browserHash: Buffer
  lifeMs: number
}

export interface IdentifiedUser {
  issuer: string
  subject: string
  email: string
  isEmailVerified: boolean
  displayName: string
  roles: readonly GroupRole[]
  requestId: string | undefined
  newId(): string
}

export function createSingleSignOnStore(pool: Pool): SingleSignOnStore {
  return {
    async putLogin({ stateHash, browserHash, nonce, codeVerifier, returnPath, lifeMs }) {
      await pool.query('delete from oidc_logins where expires_at < clock_timestamp()')
      await pool.query(
        `insert into oidc_logins (state_hash, browser_hash, nonce, code_verifier, return_path, expires_at)
         values ($1, $2, $3, $4, $5, clock_timestamp() + $6 * interval '1 millisecond')`,
        [stateHash, browserHash, nonce, codeVerifier, returnPath, lifeMs],
      )
    },
    async takeLogin(stateHash, browserHash) {
      const { rows } = await pool.query<Login>(
        `delete from oidc_logins where state_hash = $1 and browser_hash = $2 and expires_at > clock_timestamp()
         returning nonce, code_verifier as "codeVerifier", return_path as "returnPath"`,
        [stateHash, browserHash],
      )
      return rows[0]
    },
    signInUser: (user) => inDecidedTransaction(pool, (client) => signInUser(client, user)),
  }
}

interface UserRow {
  id: string
  isUsable: boolean
  /** Null of an account that no identity provider knows. */
  isIdentified: boolean | null
}

async function signInUser(
  client: PoolClient,
  user: IdentifiedUser,
): Promise<{ ok: true; id: string } | { ok: false; message: string }> {
  // Two sign-ins of one person at once would each make the account.
  await client.query('select pg_advisory_xact_lock(hashtext($1))', [`llmgw oidc ${user.email}`])
  const { rows } = await client.query<UserRow>(
    `select u.id, u.disabled_at is null as "isUsable", (u.oidc_issuer, u.oidc_subject) = ($1, $2) as "isIdentified"
     from admin_users u where (u.oidc_issuer, u.oidc_subject) = ($1, $2) or u.email = $3
     order by (u.oidc_issuer, u.oidc_subject) is not distinct from ($1, $2) desc for update`,
    [user.issuer, user.subject, user.email],
  )
  const [found] = rows
  const isLinked = found?.isIdentified === true
  if (found && !isLinked && found.isIdentified === false) {
    return refusal('This email address belongs to another account of the identity provider here.')
  }
  if (found && !isLinked && !user.isEmailVerified) {
    return refusal('There is an account with this email address, which the identity provider has not verified.')
  }
  if (found && !found.isUsable) return refusal('This account may not sign in. Ask an administrator.')
  const roles = await placedRoles(client, user.roles)
  if (roles.length === 0) {
    return refusal('None of your groups at the identity provider has a role here. Ask an administrator.')
  }
  const id = found?.id ?? user.newId()
  if (!found) {
    await client.query(
      `insert into admin_users (id, email, display_name, oidc_issuer, oidc_subject) values ($1, $2, $3, $4, $5)`,
      [id, user.email, user.displayName, user.issuer, user.subject],
    )
  } else if (!isLinked) {
    await client.query('update admin_users set oidc_issuer = $2, oidc_subject = $3 where id = $1', [
      id,
      user.issuer,
      user.subject,
    ])
  }
  if (!isLinked)
    await record(client, user, id, found ? 'admin_user.link' : 'admin_user.create', {
      email: user.email,
      issuer: user.issuer,
    })
  await bringRoles(client, user, id, roles)
  return { ok: true, id }
}

const refusal = (message: string): { ok: false; message: string } => ({ ok: false, message })

interface PlacedRole {
  role: Role
  organizationId: string | null
  teamId: string | null
}

/** Those whose organization and team are there. */
async function placedRoles(client: PoolClient, roles: readonly GroupRole[]): Promise<PlacedRole[]> {
  const { rows } = await client.query<PlacedRole>(
    `select distinct w.role, case when w.team is null then o.id end as "organizationId", t.id as "teamId"
     from unnest($1::text[], $2::text[], $3::text[]) as w (role, organization, team)
     left join organizations o on o.slug = w.organization
     left join teams t on t.organization_id = o.id and t.slug = w.team
     where (w.organization is null or o.id is not null) and (w.team is null or t.id is not null)`,
    [
      roles.map(({ role }) => role),
      roles.map(({ organization }) => organization ?? null),
      roles.map(({ team }) => team ?? null),
    ],
  )
  return rows
}

async function bringRoles(
  client: PoolClient,
  user: IdentifiedUser,
  id: string,
  roles: readonly PlacedRole[],
): Promise<void> {
  const { rows } = await client.query<PlacedRole & { id: string }>(
    `select b.id, b.role, b.organization_id as "organizationId", b.team_id as "teamId"
     from role_bindings b where b.admin_user_id = $1 and b.source = 'oidc' for update`,
    [id],
  )
  const nameOf = ({ role, organizationId, teamId }: PlacedRole): string =>
    JSON.stringify([role, organizationId, teamId])
  const wanted = new Map(roles.map((role) => [nameOf(role), role]))
  const gone = rows.filter((row) => !wanted.has(nameOf(row)))
  const fresh = [...wanted.values()].filter((role) => !rows.some((row) => nameOf(row) === nameOf(role)))
  if (gone.length > 0) await client.query('delete from role_bindings where id = any ($1)', [gone.map((row) => row.id)])
  for (const { role, organizationId, teamId } of fresh) {
    await client.query(
      `insert into role_bindings (id, admin_user_id, role, organization_id, team_id, source) values ($1, $2, $3, $4, $5, 'oidc')`,
      [user.newId(), id, role, organizationId, teamId],
    )
  }
  if (gone.length > 0 || fresh.length > 0) {
    await record(client, user, id, 'role.sync', { granted: fresh, taken: gone.map(({ id: _id, ...role }) => role) })
  }
}

const record = (client: PoolClient, user: IdentifiedUser, id: string, action: string, after: object): Promise<void> =>
  recordAudit(
    client,
    { id: user.newId(), actor: { kind: 'system', id: 'oidc', requestId: user.requestId } },
    { action, subjectKind: 'admin_user', subjectId: id, after },
  )
