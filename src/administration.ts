import type { AddressInfo } from 'node:net'
import { openCatalogSync } from './catalog-sync.ts'
import type { EnvironmentSettings } from './config/environment.ts'
import type { Config } from './config/load-config.ts'
import { createAccessTokens } from './core/access/access-tokens.ts'
import { createAdminAnswers } from './core/access/admin-answers.store.ts'
import { createAdministrationStore } from './core/access/administration.store.ts'
import { createAdministration } from './core/access/administration.ts'
import { createAuditEvents } from './core/access/audit-events.store.ts'
import { createPasswords } from './core/access/passwords.ts'
import { createSignInStore } from './core/access/sign-in.store.ts'
import { createSignIn, type SignIn } from './core/access/sign-in.ts'
import { createSingleSignOnStore } from './core/access/single-sign-on.store.ts'
import { createSingleSignOn } from './core/access/single-sign-on.ts'
import { createBudgetStore } from './core/budgets/budgets.store.ts'
import { createManagedBudgets } from './core/budgets/managed-budgets.store.ts'
import { createListedModels } from './core/catalog/listed-models.store.ts'
import { listSyncs, syncsById } from './core/catalog/listed-syncs.store.ts'
import type { DatabaseClock } from './core/clock.ts'
import type { Pools } from './core/db/pools.ts'
import type { EventBus } from './core/events/event-bus.ts'
import type { UpstreamStatus } from './core/health/upstream-status.ts'
import { createUuidV7Source } from './core/ids.ts'
import { createKeyDigester } from './core/keys/key-digest.ts'
import { createKeyStore } from './core/keys/keys.store.ts'
import { createKeys } from './core/keys/keys.ts'
import type { Limiter } from './core/limits/limiter.ts'
import { createManagedLimits } from './core/limits/managed-limits.store.ts'
import type { Log } from './core/log.ts'
import { listReplicas } from './core/replicas/listed-replicas.store.ts'
import { listProviders, providersById, providersByName } from './core/routing/listed-providers.store.ts'
import { createListedRouting } from './core/routing/listed-routing.store.ts'
import type { Keyring } from './core/secrets/keyring.ts'
import type { MasterKeys } from './core/secrets/open-keyring.store.ts'
import { StartRefusal } from './core/start-refusal.ts'
import { createUsageReports } from './core/usage/usage-reports.store.ts'
import { openManagedRouting } from './managed-routing.ts'
import { openWayOut } from './outbound.ts'
import { portRefusal } from './port-refusal.ts'

/** The admin plane of one start of the gateway, however many processes serve calls. */
export interface AdminPlane {
  readonly address: AddressInfo
  /** The path and token by which the first administrator comes in, once; undefined when there is one. */
  readonly setupToken: string | undefined
  close(): Promise<void>
}

export interface AdminPlaneDeps {
  /** That in force: what is declared outside the database may change. */
  config(): Config
  pools: Pools
  clock: DatabaseClock
  masters: MasterKeys
  /** Seals and opens what providers are called with. */
  keyring: Keyring
  keyPepper: Buffer
  events: EventBus
  /** What each process of this start knows of its upstreams. */
  upstreams(): readonly { process: string; upstreams: readonly UpstreamStatus[] }[]
  /** What is taken of rate limits now. */
  limitUse: Limiter['current']
  log: Log
}

/** @throws StartRefusal when the port is taken, or the first administrator cannot be made as the environment has it */
export async function openAdminPlane(deps: AdminPlaneDeps): Promise<AdminPlane> {
  const { pools, clock, masters, keyPepper, events, log } = deps
  const { settings } = deps.config()
  // Apollo takes longer to load than all of the rest.
  const [{ createAdminServer }, { openFeeds }] = await Promise.all([
    import('./admin/server.ts'),
    import('./admin/feeds/feeds.ts'),
  ])
  const ids = createUuidV7Source()
  const client = openWayOut(settings, log)
  const changes = { pool: pools.admin, clock, newId: ids }
  const policyChanged = (): void => events.publish({ type: 'key-policy-changed' })
  const passwords = createPasswords()
  const tokens = createAccessTokens([masters.current, ...masters.others], clock)
  const store = createSignInStore(pools.admin)
  const signIn = createSignIn({ store, passwords, tokens, masterKey: masters.current, clock, newId: ids })
  const singleSignOn = createSingleSignOn({
    settings: () => deps.config().adminSignIn.oidc,
    store: createSingleSignOnStore(pools.admin),
    signIn,
    client,
    clock,
    newId: ids,
    log,
  })
  const tenants = createAdministrationStore(pools.admin)
  const usage = createUsageReports(pools.admin)
  const audit = createAuditEvents(pools.admin)
  const budgets = createBudgetStore(pools.admin)
  const routing = createListedRouting(pools.admin)
  const feeds = openFeeds({ usage, audit, budgets, routing, events, upstreams: deps.upstreams, log })
  const server = await createAdminServer({
    services: {
      signIn,
      singleSignOn,
      answers: createAdminAnswers({ ...changes, keyring: deps.keyring }),
      administration: createAdministration({ store: tenants, passwords, clock, newId: ids }),
      tenants,
      keys: createKeys({
        store: createKeyStore(pools.admin),
        digester: createKeyDigester([keyPepper]),
        clock,
        newId: ids,
        changed(keyId, { endsCalls }) {
          events.publish({ type: 'key-changed', keyId })
          if (endsCalls) events.publish({ type: 'key-ended', keyId })
        },
      }),
      usage,
      audit,
      feeds,
      budgets,
      managedBudgets: createManagedBudgets({ ...changes, changed: policyChanged }),
      limits: createManagedLimits({ ...changes, changed: policyChanged }),
      limitUse: deps.limitUse,
      routing,
      replicas: (before, limit) => listReplicas(pools.admin, before, limit),
      providers: (page) => listProviders(pools.admin, page),
      providersById: (wanted) => providersById(pools.admin, wanted),
      providersByName: (wanted) => providersByName(pools.admin, wanted),
      catalog: {
        syncs: (after, limit) => listSyncs(pools.admin, after, limit),
        syncsById: (wanted) => syncsById(pools.admin, wanted),
        run: openCatalogSync({ ...deps, ids, client }),
      },
      ...openManagedRouting({ ...deps, ids, client }),
      upstreams: deps.upstreams,
      newId: ids,
      models: createListedModels(pools.admin),
      clock,
    },
    tokens,
    ids,
    log,
    origins: settings.adminOrigins,
  })
  const setupToken = await openFirstAccess(signIn, settings)
  const address = await server.listen(settings.host, settings.adminPort).catch(portRefusal('LLMGW_ADMIN_PORT'))
  return { address, setupToken, close: () => server.close() }
}

/** Nobody has a password by default: the first one comes from the environment, or by a link that works once. */
async function openFirstAccess(signIn: SignIn, settings: EnvironmentSettings): Promise<string | undefined> {
  if (await signIn.hasAdministrator()) return undefined
  const { bootstrapAdmin } = settings
  if (!bootstrapAdmin) return signIn.openSetup()
  const { email, password } = bootstrapAdmin
  const made = await signIn.createFirst(
    { email, displayName: email, password: password.reveal(), setupToken: undefined },
    { address: 'environment', userAgent: '', requestId: undefined },
  )
  if (made.ok || made.reason === 'already_set_up') return undefined
  throw new StartRefusal('configuration_rejected', `The first administrator cannot be made: ${made.message}`)
}
