import { randomBytes } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { IdSource } from '../ids.ts'
import type { Actor } from '../keys/keys.ts'
import type { Refusal } from '../refusal.ts'
import type {
  AdministrationStore,
  AdminUser,
  Change,
  Changed,
  Organization,
  RoleBinding,
  ServiceToken,
  Team,
} from './administration.store.ts'
import { passwordProblem } from './password-rules.ts'
import type { Passwords } from './passwords.ts'
import { holds, type Principal, type Role, type Scope } from './principal.ts'
import { emailProblem, normalEmail } from './sign-in.ts'

/** Making tenants and accounts, and granting what they may do: the rules. Whether the actor may is asked before. */
export interface Administration {
  createOrganization(draft: { slug: string; name: string }, actor: Actor): Promise<Changed<Organization>>
  createTeam(draft: { organizationId: string; slug: string; name: string }, actor: Actor): Promise<Changed<Team>>
  renameOrganization(id: string, name: string, actor: Actor): Promise<Changed<Organization>>
  renameTeam(id: string, name: string, actor: Actor): Promise<Changed<Team>>
  /** For whoever has forgotten theirs; ends all sessions of the account. @throws PasswordsBusy */
  setUserPassword(id: string, password: string, actor: Actor): Promise<Changed<AdminUser>>
  /** @throws PasswordsBusy */
  createUser(draft: { email: string; displayName: string; password: string }, actor: Actor): Promise<Changed<AdminUser>>
  setUserEnabled(id: string, enabled: boolean, actor: Actor): Promise<Changed<AdminUser>>
  /** The token is in the result and nowhere else. @throws PasswordsBusy */
  createServiceToken(
    draft: { serviceName: string; expiresAtMs: number | undefined },
    actor: Actor,
  ): Promise<Changed<{ serviceToken: ServiceToken; token: string }>>
  revokeServiceToken(id: string, actor: Actor): Promise<Changed<ServiceToken>>
  /** @returns undefined when the granter does not hold what they would grant */
  grantRole(grant: NewGrant, granter: Principal, actor: Actor): Promise<Changed<RoleBinding> | undefined>
  /** @returns undefined when the revoker does not hold what they would take */
  revokeRole(binding: RoleBinding, revoker: Principal, actor: Actor): Promise<Changed<undefined> | undefined>
}

export interface NewGrant {
  kind: Principal['kind']
  accountId: string
  role: Role
  scope: Scope
}

export interface AdministrationDeps {
  store: AdministrationStore
  passwords: Passwords
  clock: Clock
  newId: IdSource
}

const tokenPrefix = 'llmgw-admin-'

export function createAdministration({ store, passwords, clock, newId }: AdministrationDeps): Administration {
  const change = (actor: Actor, id = newId(clock.nowMs())): Change => ({ id, auditId: newId(clock.nowMs()), actor })
  return {
    async createOrganization(draft, actor) {
      return tenantProblem(draft) ?? store.insertOrganization({ ...change(actor), ...draft })
    },
    async createTeam(draft, actor) {
      return tenantProblem(draft) ?? store.insertTeam({ ...change(actor), ...draft })
    },
    async renameOrganization(id, name, actor) {
      return invalid(nameProblem(name), 'name') ?? store.renameOrganization({ ...change(actor, id), name })
    },
    async renameTeam(id, name, actor) {
      return invalid(nameProblem(name), 'name') ?? store.renameTeam({ ...change(actor, id), name })
    },
    async setUserPassword(id, password, actor) {
      const problem = invalid(passwordProblem(password), 'password')
      if (problem) return problem
      return store.setUserPassword({ ...change(actor, id), passwordHash: await passwords.hash(password) })
    },
    async createUser({ email, displayName, password }, actor) {
      const wrong = invalid(emailProblem(email), 'email') ?? invalid(nameProblem(displayName), 'displayName')
      const refused = wrong ?? invalid(passwordProblem(password), 'password')
      if (refused) return refused
      const passwordHash = await passwords.hash(password)
      return store.insertUser({ ...change(actor), email: normalEmail(email), displayName, passwordHash })
    },
    setUserEnabled: (id, enabled, actor) => store.setUserEnabled({ ...change(actor, id), enabled }),

    async createServiceToken({ serviceName, expiresAtMs }, actor) {
      const isName = /^[A-Za-z0-9][\w.-]{0,99}$/.test(serviceName)
      const nameMessage = 'A service name has 1 to 100 letters, digits, dots, dashes and underscores.'
      const isPast = expiresAtMs !== undefined && expiresAtMs <= clock.nowMs()
      const wrong =
        invalid(isName ? undefined : nameMessage, 'serviceName') ??
        invalid(isPast ? 'The time of expiry has passed.' : undefined, 'expiresAt')
      if (wrong) return wrong
      const token = `${tokenPrefix}${randomBytes(32).toString('base64url')}`
      const tokenHash = await passwords.hash(token)
      const made = await store.insertServiceToken({ ...change(actor), serviceName, tokenHash, expiresAtMs })
      return made.ok ? { ok: true, value: { serviceToken: made.value, token } } : made
    },
    revokeServiceToken: (id, actor) => store.revokeServiceToken(change(actor, id)),

    async grantRole(grant, granter, actor) {
      if (!mayGrant(granter, grant)) return undefined
      return store.insertBinding({ ...change(actor), ...grant })
    },
    async revokeRole(binding, revoker, actor) {
      if (!mayGrant(revoker, binding)) return undefined
      return store.deleteBinding(change(actor, binding.id))
    },
  }
}

/** Who decides about a scope holds every role in it, so nobody grants what they lack. */
const mayGrant = ({ grants }: Principal, { scope }: { scope: Scope }): boolean => holds(grants, 'admin', scope)

function tenantProblem({ slug, name }: { slug: string; name: string }): { ok: false; refusal: Refusal } | undefined {
  const isSlug = /^[a-z0-9][a-z0-9-]{0,62}$/.test(slug)
  const slugMessage = 'A slug has 1 to 63 lower-case letters, digits and dashes.'
  return invalid(isSlug ? undefined : slugMessage, 'slug') ?? invalid(nameProblem(name), 'name')
}

const nameProblem = (name: string): string | undefined =>
  /^(?! )[^\p{Cc}]{1,100}(?<! )$/u.test(name)
    ? undefined
    : 'A name has 1 to 100 characters on one line, without spaces around them.'

const invalid = (message: string | undefined, field: string): { ok: false; refusal: Refusal } | undefined =>
  message === undefined ? undefined : { ok: false, refusal: { code: 'invalid', message, path: [field] } }
