import DataLoader from 'dataloader'
import type { AdminAnswers } from '../core/access/admin-answers.store.ts'
import type {
  AdministrationStore,
  AdminUser,
  Organization,
  RoleBinding,
  ServiceToken,
  Team,
} from '../core/access/administration.store.ts'
import type { Administration } from '../core/access/administration.ts'
import type { AuditEvent, AuditEvents } from '../core/access/audit-events.store.ts'
import type { Principal, Role, Scope, VisibleTenants } from '../core/access/principal.ts'
import { holds, scopeOf, visibleTenants } from '../core/access/principal.ts'
import type { Client, SignIn } from '../core/access/sign-in.ts'
import type { SingleSignOn } from '../core/access/single-sign-on.ts'
import type { BudgetPeriodStanding, BudgetStore } from '../core/budgets/budgets.store.ts'
import type { ManagedBudgets } from '../core/budgets/managed-budgets.store.ts'
import type { ListedModels, ListedPrice } from '../core/catalog/listed-models.store.ts'
import type { ListedSync } from '../core/catalog/listed-syncs.store.ts'
import type { CatalogSyncResult } from '../core/catalog/sync.ts'
import type { Clock } from '../core/clock.ts'
import type { UpstreamStatus } from '../core/health/upstream-status.ts'
import type { IdSource } from '../core/ids.ts'
import type { Actor, Key, Keys } from '../core/keys/keys.ts'
import type { Limiter } from '../core/limits/limiter.ts'
import type { ListedLimit, ManagedLimits } from '../core/limits/managed-limits.store.ts'
import type { ListedReplica } from '../core/replicas/listed-replicas.store.ts'
import type { ListedProvider } from '../core/routing/listed-providers.store.ts'
import type { ListedRouting, ListedVersion } from '../core/routing/listed-routing.store.ts'
import type { ManagedRouting } from '../core/routing/managed-routing.ts'
import type { CallKey, ReportedAttempt, ReportedEntry, UsageReports } from '../core/usage/usage-reports.store.ts'
import type { BudgetFeed } from './feeds/budget-standings.ts'
import type { NewRowsFeed } from './feeds/new-rows.ts'
import type { ProviderHealthFeed } from './feeds/provider-health.ts'
import type { RecordedUsageFeed } from './feeds/recorded-usage.ts'
import type { UsageFeed } from './feeds/usage-totals.ts'
import type { RefreshCookie } from './refresh-cookie.ts'

/** What resolvers call. */
export interface AdminServices {
  signIn: SignIn
  singleSignOn: SingleSignOn
  answers: AdminAnswers
  administration: Administration
  tenants: AdministrationStore
  keys: Keys
  usage: UsageReports
  audit: AuditEvents
  models: ListedModels
  feeds: Feeds
  budgets: BudgetStore
  managedBudgets: ManagedBudgets
  limits: ManagedLimits
  /** What is taken of limits now, where it is counted. */
  limitUse: Limiter['current']
  routing: ListedRouting
  catalog: {
    /** The latest first. */
    syncs(after: { startedAtText: string; id: string } | undefined, limit: number): Promise<ListedSync[]>
    syncsById(ids: readonly string[]): Promise<ListedSync[]>
    /** Throws nothing; may take two minutes. */
    run(allowShrink: boolean, actor: Actor): Promise<CatalogSyncResult | { status: 'broken'; failure: string }>
  }
  replicas(before: { startedAtText: string; id: string } | undefined, limit: number): Promise<ListedReplica[]>
  providers(page: { after: string | undefined; limit: number }): Promise<ListedProvider[]>
  providersById(ids: readonly string[]): Promise<ListedProvider[]>
  providersByName(names: readonly string[]): Promise<ListedProvider[]>
  /** Makes one cheap call. @returns sentences for people */
  testProvider(name: string, model: string | undefined): Promise<{ ok: boolean; lines: readonly string[] }>
  /** What administrators make of routing. */
  routes: ManagedRouting
  /** What each process of this replica knows of its upstreams. */
  upstreams(): readonly { process: string; upstreams: readonly UpstreamStatus[] }[]
  newId: IdSource
  clock: Clock
}

/** What subscriptions read; each has one look for all that want the same. */
export interface Feeds {
  usageTotals: UsageFeed
  recordedUsage: RecordedUsageFeed
  budgets: BudgetFeed
  providerHealth: ProviderHealthFeed
  auditEvents: NewRowsFeed<AuditEvent>
  configVersions: NewRowsFeed<ListedVersion>
}

/** One operation: who asks, from where, and what it has read so far. */
export interface AdminContext extends AdminServices {
  /** Undefined for a stranger. */
  viewer: Principal | undefined
  /** Of the viewer's roles. */
  visible: VisibleTenants
  client: Client
  /** Of the request: its changes are made once. */
  idempotencyKey?: string | undefined
  /** The field of the document that is being resolved, by its name in the answer. */
  rootField?: string | number
  cookie: RefreshCookie
  /** Of one operation, or of one event of a subscription. */
  loaders: Loaders
  /** Closes the socket of a subscription whose reader does not keep up. */
  tooSlow(): void
  /**
   * Whether the viewer has the role there. The policy makes sure that it is asked wherever an object's own place decides.
   *
   * @param scope - of the object; undefined when there is none
   * @returns false when the viewer may not even see it, which must look like an object that is not there
   * @throws GraphQLError FORBIDDEN when they may see it and no more
   */
  may(role: Role, scope: Scope | undefined): boolean
}

/** A key that another object names, as far as the viewer may see it: it may well belong somewhere else. */
export async function visibleKey(id: string | null, { loaders, viewer }: AdminContext): Promise<Key | null> {
  const key = id === null ? null : await loaders.keys.load(id)
  const isVisible = key && holds(viewer?.grants ?? [], 'viewer', scopeOf(key.organization.id, key.team?.id))
  return isVisible ? key : null
}

export type Loaders = ReturnType<typeof createLoaders>

/** The viewer of an operation that the policy lets no stranger into. */
export function viewerOf({ viewer }: AdminContext): Principal {
  if (!viewer) throw new Error('The policy lets strangers in where a viewer is needed.')
  return viewer
}

export const actorOf = (context: AdminContext): Actor => {
  const { kind, id } = viewerOf(context)
  const { idempotencyKey, rootField, client } = context
  return { kind, id, requestId: client.requestId, idempotencyKey: idempotencyKey && `${idempotencyKey} ${rootField}` }
}

/** Reads what several fields of an operation ask for in one statement, and once. */
export function createLoaders(
  { tenants, keys, usage, models, providersById, providersByName, limits, budgets }: AdminServices,
  viewer: Principal | undefined,
) {
  const visible = visibleTenants(viewer?.grants ?? [])
  return {
    organizations: byId<Organization>((ids) => tenants.organizationsById(ids)),
    teams: byId<Team>((ids) => tenants.teamsById(ids)),
    users: byId<AdminUser>((ids) => tenants.usersById(ids)),
    serviceTokens: byId<ServiceToken>((ids) => tenants.serviceTokensById(ids)),
    keys: byId<Key>((ids) => keys.getMany(ids)),
    providersByName: new DataLoader<string, ListedProvider | null>(async (names) => {
      const rows = new Map((await providersByName(names)).map((row) => [row.name, row]))
      return names.map((name) => rows.get(name) ?? null)
    }),
    rateLimits: new DataLoader<string, ListedLimit | null>(async (ownerIds) => {
      const rows = new Map((await limits.ofOwners(ownerIds)).map((row) => [row.limit.scopeId, row]))
      return ownerIds.map((id) => rows.get(id) ?? null)
    }),
    providers: byId<ListedProvider>((ids) => providersById(ids)),
    priceHistory: pagedLoader<ListedPrice & { modelId: string }, number>(
      (modelIds, before, limit) => models.priceHistory({ modelIds, before, limit }),
      ({ modelId }) => modelId,
    ),
    budgetPeriods: pagedLoader<BudgetPeriodStanding, string>(
      (budgetIds, before, limit) => budgets.periods({ budgetIds, before, limit }),
      ({ budgetId }) => budgetId,
    ),
    teamsOf: grouped<Team>(
      (organizationIds) => tenants.teams({ visible, organizationIds, limit: 100 }),
      ({ organizationId }) => organizationId,
    ),
    bindingsOfUsers: grouped<RoleBinding>(
      (ids) => tenants.bindingsOf('admin_user', ids),
      ({ accountId }) => accountId,
    ),
    bindingsOfTokens: grouped<RoleBinding>(
      (ids) => tenants.bindingsOf('admin_token', ids),
      ({ accountId }) => accountId,
    ),
    attempts: ofCalls<ReportedAttempt>((calls) => usage.attempts(calls)),
    ledgerEntries: ofCalls<ReportedEntry>((calls) => usage.ledgerEntries(calls)),
  }
}

function byId<Row extends { id: string }>(read: (ids: readonly string[]) => Promise<Row[]>) {
  return new DataLoader<string, Row | null>(async (ids) => {
    const rows = new Map((await read(ids)).map((row) => [row.id, row]))
    return ids.map((id) => rows.get(id) ?? null)
  })
}

function grouped<Row>(read: (ids: readonly string[]) => Promise<Row[]>, groupOf: (row: Row) => string) {
  return new DataLoader<string, Row[]>(async (ids) => {
    const groups = Map.groupBy(await read(ids), groupOf)
    return ids.map((id) => groups.get(id) ?? [])
  })
}

/** A page of what belongs to one object. */
interface OwnedPage<Before> {
  /** Of the object. */
  id: string
  before: Before | undefined
  limit: number
}

/** One statement for all objects of a list: they are asked with the same arguments. */
function pagedLoader<Row, Before>(
  read: (ids: readonly string[], before: Before | undefined, limit: number) => Promise<readonly Row[]>,
  ownerOf: (row: Row) => string,
) {
  const sameAs = ({ before, limit }: OwnedPage<Before>): string => `${before} ${limit}`
  return new DataLoader<OwnedPage<Before>, Row[], string>(
    async (pages) => {
      const groups = [...Map.groupBy(pages, sameAs)]
      const rows = await Promise.all(
        groups.map(([, same]) => {
          const { before, limit } = same[0] as OwnedPage<Before> // of a group that has one
          return read(
            same.map(({ id }) => id),
            before,
            limit,
          )
        }),
      )
      const byGroup = new Map(groups.map(([name], index) => [name, rows[index] ?? []]))
      return pages.map((page) => (byGroup.get(sameAs(page)) ?? []).filter((row) => ownerOf(row) === page.id))
    },
    { cacheKeyFn: (page) => `${page.id} ${sameAs(page)}` },
  )
}

function ofCalls<Row extends { requestId: string }>(read: (calls: readonly CallKey[]) => Promise<Row[]>) {
  return new DataLoader<CallKey, Row[], string>(
    async (calls) => {
      const groups = Map.groupBy(await read(calls), ({ requestId }) => requestId)
      return calls.map(({ requestId }) => groups.get(requestId) ?? [])
    },
    { cacheKeyFn: ({ requestId }) => requestId },
  )
}
