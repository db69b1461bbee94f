/** Each holds what the one before holds: see, change, decide who may. */
export const roles = ['viewer', 'editor', 'admin'] as const
export type Role = (typeof roles)[number]

/** Where a role holds, or what an object belongs to: everything, an organization with its teams, or one team. */
export type Scope =
  | { readonly kind: 'global' }
  | { readonly kind: 'organization'; readonly organizationId: string }
  | { readonly kind: 'team'; readonly organizationId: string; readonly teamId: string }

export interface RoleGrant {
  readonly role: Role
  readonly scope: Scope
}

/** Whoever is signed in to the admin plane, as the database has it at this moment. */
export interface Principal {
  readonly kind: 'admin_user' | 'admin_token'
  readonly id: string
  /** The email address of a person, the name of a service. */
  readonly name: string
  /** Of the sign-in: a family of refresh tokens. */
  readonly sessionId: string
  readonly grants: readonly RoleGrant[]
}

/** What a principal may see of rows that belong to tenants; everything, or some organizations and some teams. */
export interface VisibleTenants {
  readonly everything: boolean
  /** Whole ones. */
  readonly organizationIds: readonly string[]
  readonly teamIds: readonly string[]
}

/** Deny by default: a role holds where it was granted and below, and nowhere else. */
export function holds(grants: readonly RoleGrant[], role: Role, scope: Scope): boolean {
  return grants.some((grant) => roles.indexOf(grant.role) >= roles.indexOf(role) && covers(grant.scope, scope))
}

/** Whether one scope is the other or contains it. */
export function covers(outer: Scope, inner: Scope): boolean {
  switch (outer.kind) {
    case 'global':
      return true
    case 'organization':
      return inner.kind !== 'global' && inner.organizationId === outer.organizationId
    case 'team':
      return inner.kind === 'team' && inner.teamId === outer.teamId
  }
}

export function visibleTenants(grants: readonly RoleGrant[]): VisibleTenants {
  const scopes = grants.map(({ scope }) => scope)
  return {
    everything: scopes.some(({ kind }) => kind === 'global'),
    organizationIds: scopes.flatMap((scope) => (scope.kind === 'organization' ? scope.organizationId : [])),
    teamIds: scopes.flatMap((scope) => (scope.kind === 'team' ? scope.teamId : [])),
  }
}

export const scopeOf = (organizationId: string, teamId: string | null | undefined): Scope =>
  teamId ? { kind: 'team', organizationId, teamId } : { kind: 'organization', organizationId }

export const globalScope: Scope = { kind: 'global' }
