import type { AddressInfo } from 'node:net'
import type { Registry } from 'prom-client'
import { openAccounting } from './accounting.ts'
import type { Config } from './config/load-config.ts'
import type { ConfigProblem } from './config/problem.ts'
import type { DatabaseClock } from './core/clock.ts'
import type { Pools } from './core/db/pools.ts'
import type { EventBus } from './core/events/event-bus.ts'
import { createUpstreamHealth } from './core/health/upstream-health.ts'
import { type UpstreamStatus, upstreamStatus } from './core/health/upstream-status.ts'
import { openIdempotency } from './core/idempotency/idempotency.ts'
import { startIdempotencyExpiry } from './core/idempotency/idempotency-expiry.ts'
import { createIdempotencyKeyStore } from './core/idempotency/idempotency-keys.store.ts'
import { createUuidV7Source } from './core/ids.ts'
import { createAdmission } from './core/inference/admit.ts'
import type { Call } from './core/inference/call.ts'
import { createCallsUnderWay } from './core/inference/calls-under-way.ts'
import { createPipeline } from './core/inference/pipeline.ts'
import { createRequestLog } from './core/inference/request-log.ts'
import { createAuthenticator, createKeyLoad, warm } from './core/keys/authenticate.ts'
import { createBillingKeys } from './core/keys/billing-keys.ts'
import { ensureDemoKey } from './core/keys/demo-key.ts'
import { createKeyCache } from './core/keys/key-cache.ts'
import { createKeyDigester } from './core/keys/key-digest.ts'
import { createKeyLookUp } from './core/keys/key-look-up.store.ts'
import { openKeyWatch } from './core/keys/key-watch.ts'
import { createKeyStore } from './core/keys/keys.store.ts'
import { createKeys } from './core/keys/keys.ts'
import { createNamedKeys } from './core/keys/named-keys.ts'
import type { Limiter } from './core/limits/limiter.ts'
import type { Log } from './core/log.ts'
import { createOverloadGuard, overloadLimitsDefault } from './core/overload.ts'
import { loadPriceBook } from './core/pricing/price-book.ts'
import { createProvider } from './core/providers/registry.ts'
import type { GuardedRedis } from './core/redis/guarded-redis.ts'
import type { ReplicaRegistry } from './core/replicas/replica-registry.ts'
import { loadRouting } from './core/routing/last-good-routing.ts'
import { route } from './core/routing/route.ts'
import { createLastGoodRouting, readActiveVersion, readStoredRouting } from './core/routing/snapshot.store.ts'
import { createSnapshots } from './core/routing/snapshots.ts'
import { credentialsOf } from './core/secrets/credentials-of.ts'
import type { Keyring } from './core/secrets/keyring.ts'
import { openLimiter } from './limiter.ts'
import { registerAccountingMetrics } from './ops/accounting-metrics.ts'
import { registerGatewayMetrics } from './ops/gateway-metrics.ts'
import { createInferenceMetrics } from './ops/inference-metrics.ts'
import { registerUpstreamHealthMetrics } from './ops/upstream-health-metrics.ts'
import { openWayOut } from './outbound.ts'
import { portRefusal } from './port-refusal.ts'
import { createGrpcServer, type GrpcSettings } from './proxy/grpc/server.ts'
import { createOpenAnswers } from './proxy/open-answers.ts'
import { createRestServer } from './proxy/rest/server.ts'
import { openTracing } from './tracing.ts'
import { rejected, type Upkeep } from './upkeep.ts'

/** The core and its doors over an open database. */
export interface Gateway {
  readonly demoKey: string | undefined
  notReadyReasons(): readonly string[]
  upstreams(): UpstreamStatus[]
  /** What is taken of rate limits now. */
  limitUse: Limiter['current']
  /** @throws StartRefusal when a port cannot be listened on */
  listen(host: string, ports: DoorPorts): Promise<DoorAddresses>
  reload(config: Config): Promise<readonly ConfigProblem[]>
  /** Health over gRPC says no from now on. */
  announceDrain(): void
  drain(deadline: Promise<void>): Promise<void>
  close(): Promise<void>
}

/** 0 takes any free port. */
export interface DoorPorts {
  rest: number
  grpc: number
}

export interface DoorAddresses {
  rest: AddressInfo
  grpc: AddressInfo
}

export interface GatewayDeps {
  config: Config
  log: Log
  /** Takes finished log lines, request lines that is; does nothing where the log's level leaves them out. */
  writeLog(line: string): void
  clock: DatabaseClock
  pools: Pools
  registry: Registry
  /** Who else serves from the database. */
  replicas: ReplicaRegistry
  /** Where the usage journals of this data folder lie. */
  journalFolder: string
  /** Which of them is that of this process, and whose this process takes over. */
  journalOwner: string
  formerJournalOwners: readonly string[]
  keyPepper: Buffer
  /** Opens stored credentials. */
  keyring: Keyring
  /** Where the demo key's secret is kept; undefined makes none. */
  demoKeyFile: string | undefined
  /** Names this process in the records it owns. */
  replica: string
  /** Undefined when this replica is alone. */
  redis: GuardedRedis | undefined
  events: EventBus
  /** Brings the database to what is declared. It holds what the configuration at the start declares already. */
  declare: Upkeep['declare']
}

/** A revocation takes effect within 5 s: so long, and the time of one query. */
const keyWatchPollMs = 4_000

/** Authentication data older than this may no longer be trusted with new calls. */
const authenticationDataMsMax = 15 * 60_000

/** A request that its replica has not renewed for so long counts as used: well within the 60 s of everything a crash leaves. */
const idempotencyLeaseMs = 45_000

/** @throws StartRefusal when routing cannot be built from what the database holds */
export async function createGateway(deps: GatewayDeps): Promise<Gateway> {
  await using opening = new AsyncDisposableStack()
  const own = <T extends { close(): unknown }>(resource: T): T => {
    opening.defer(async () => void (await resource.close()))
    return resource
  }
  const { config, log, clock, pools, registry, events } = deps
  const ids = createUuidV7Source()
  const client = openWayOut(config.settings, log)

  const { bundledNameResolver } = await import('./core/catalog/genai-prices.ts')
  const resolveName = bundledNameResolver()

  const digester = createKeyDigester([deps.keyPepper])
  const lookUp = createKeyLookUp(pools.request)
  const keyCache = createKeyCache({ load: createKeyLoad(lookUp, digester), clock, log })
  const billingKeys = createBillingKeys({ lookUp, clock, log })
  const keyStore = createKeyStore(pools.admin)
  const namedKeys = createNamedKeys({ store: createKeyStore(pools.request), lookUp, clock, log })
  const keyCaches = [keyCache, billingKeys, namedKeys]
  const knownKeys = {
    invalidate(keyId: string, changedAt?: string): void {
      for (const cache of keyCaches) cache.invalidate(keyId, changedAt)
    },
    distrustAll(): void {
      for (const cache of keyCaches) cache.distrustAll()
    },
  }
  const underWay = createCallsUnderWay(clock)
  const endKey = (keyId: string): void => {
    knownKeys.invalidate(keyId)
    underWay.cancel(keyId)
  }
  const changed = (keyId: string): void => events.publish({ type: 'key-changed', keyId })
  const keys = createKeys({ store: keyStore, digester, clock, newId: ids, changed })

  let declared = config.declared

  const snapshots = own(
    createSnapshots({
      load: (previous) =>
        loadRouting(
          {
            read: () => readStoredRouting(pools.request),
            prices: () => loadPriceBook(pools.admin, clock.nowMs(), { resolveName }),
            credentials: (provider) => credentialsOf(provider, { declared, keyring: deps.keyring }),
            region: config.settings.region,
            createProvider: (provider, credentials) => createProvider(provider, credentials, { client }),
            lastGood: createLastGoodRouting(pools.admin),
            log,
          },
          previous,
        ),
      latestVersion: () => readActiveVersion(pools.request),
      clock,
      log,
    }),
  )
  const loaded = await snapshots.reload()
  if (loaded.status === 'rejected') throw rejected(loaded.problems)

  const lookAgain = (): void => {
    knownKeys.distrustAll()
    snapshots.pollNow()
  }
  opening.defer(events.onGap(lookAgain))
  opening.defer(
    events.subscribe((event) => {
      if (event.type === 'key-changed') knownKeys.invalidate(event.keyId)
      else if (event.type === 'key-ended') endKey(event.keyId)
      else if (event.type === 'key-policy-changed') knownKeys.distrustAll()
      else if (event.type === 'configuration-changed') lookAgain()
    }),
  )
  const demoKey = deps.demoKeyFile
    ? await ensureDemoKey({ keys, store: keyStore, digester, secretFile: deps.demoKeyFile })
    : undefined

  const { journalFolder, journalOwner, formerJournalOwners, replicas } = deps
  const accounting = own(
    await openAccounting({
      config,
      pools,
      clock,
      ids,
      events,
      replicas,
      journalFolder,
      journalOwner,
      formerJournalOwners,
      log,
    }),
  )
  own(openKeyWatch({ lookUp, cache: knownKeys, ended: underWay.cancel, log, pollMs: keyWatchPollMs }))
  await warm({ cache: keyCache, digester, lookUp }).catch((error: unknown) => {
    log.warn({ err: error }, 'Recently used keys were not read ahead; the first calls read them.')
  })

  const { retentionHours, storeAnswers, maxAnswerBytes } = config.idempotency
  const keyRows = { replica: deps.replica, retentionMs: retentionHours * 3_600_000, leaseMs: idempotencyLeaseMs }
  const idempotency = own(
    openIdempotency({
      store: createIdempotencyKeyStore({ ...keyRows, pool: pools.request }),
      answerBytesMax: storeAnswers ? maxAnswerBytes : undefined,
      log,
    }),
  )
  own(startIdempotencyExpiry({ store: createIdempotencyKeyStore({ ...keyRows, pool: pools.admin }), log }))

  const overload = own(
    createOverloadGuard(
      { ...overloadLimitsDefault, requestsInFlight: config.limits.requestsInFlight },
      clock.monotonicMs,
    ),
  )
  const expectedReplicas = (): number => replicas.expectedReplicas()
  const limiter = own(await openLimiter({ redis: deps.redis, clock, expectedReplicas }))
  const metrics = createInferenceMetrics(registry, config.metrics.keyTags)
  const health = createUpstreamHealth({ log })
  const { tracing: traced } = config.settings
  const tracing = traced && own(await openTracing(traced, clock.monotonicMs))
  const pipeline = createPipeline({
    authenticate: createAuthenticator({ digester, cache: keyCache, clock }),
    snapshot: snapshots.current,
    route: (snapshot, call) =>
      route(snapshot, call.caller, call.request.model, call.operation, Math.random, (sticky) =>
        stickyValueOf(call, sticky),
      ),
    billingKey: billingKeys.get,
    idempotency,
    underWay,
    tracing,
    health,
    admit: createAdmission({
      journal: accounting.spool,
      checkpoints: accounting.checkpoints,
      budgets: accounting.leases,
      limiter,
      clock,
      replica: deps.replica,
      unpriced: { policy: config.unpricedModels, estimate: config.unpricedEstimate },
      metrics,
      requestLog: createRequestLog(deps.writeLog, clock.nowMs),
      log,
    }),
    clock,
    metrics,
    log,
  })
  const { heartbeatMs, stalledMs, bodyBytes, headersTimeoutMs, bodyTimeoutMs } = config.limits
  const open = own(createOpenAnswers({ heartbeatMs, stalledMs }, clock.monotonicMs))
  const isOverloaded = (): boolean => overload.isOverloaded(open.size)
  const door = { pipeline, snapshot: snapshots.current, open, isOverloaded, clock, ids, log }
  const rest = own(createRestServer({ ...door, limits: { bodyBytes, headersTimeoutMs, bodyTimeoutMs } }))
  const grpc = own(
    createGrpcServer({
      ...door,
      callerNamed: namedKeys.get,
      settings: grpcSettingsOf(config),
      reflection: config.grpc.reflection ?? config.settings.databaseUrl === undefined,
    }),
  )
  registerAccountingMetrics(registry, accounting)
  registerUpstreamHealthMetrics(registry, { health, snapshot: snapshots.current, monotonicMs: clock.monotonicMs })
  registerGatewayMetrics(registry, {
    spool: accounting.spool,
    keyCache,
    snapshots,
    replicas: deps.replicas,
    openAnswers: () => open.size,
    openStreams: open.streams,
    pools,
  })

  const resources = opening.move()
  return {
    demoKey,
    notReadyReasons() {
      const reasons: string[] = []
      if (!snapshots.isLoaded()) reasons.push('no configuration is loaded')
      if (isOverloaded()) reasons.push('overloaded')
      if (keyCache.statistics().failingForMs > authenticationDataMsMax) reasons.push('authentication data is too old')
      return reasons
    },
    upstreams: () => (snapshots.isLoaded() ? upstreamStatus(health, snapshots.current(), clock.monotonicMs()) : []),
    limitUse: (organizationId, limits) => limiter.current(organizationId, limits),
    async listen(host, ports) {
      const grpcAddress = await grpc.listen(host, ports.grpc).catch(portRefusal('LLMGW_GRPC_PORT'))
      return { grpc: grpcAddress, rest: await rest.listen(host, ports.rest).catch(portRefusal('LLMGW_PORT')) }
    },
    async reload(next) {
      const problems = await deps.declare(next.declared)
      if (problems.length > 0) return problems
      const previous = declared
      declared = next.declared
      const outcome = await snapshots.reload()
      if (outcome.status === 'rejected') {
        // What routing cannot be built from must not be what the next start finds.
        declared = previous
        await deps.declare(previous)
        await snapshots.reload()
        return outcome.problems
      }
      knownKeys.distrustAll()
      health.forget()
      grpc.use(grpcSettingsOf(next))
      return []
    },
    announceDrain: () => grpc.announceDrain(),
    async drain(deadline) {
      rest.stopAccepting()
      grpc.stopAccepting()
      const cutShort = await open.drain(deadline)
      if (cutShort > 0) log.warn({ answers: cutShort }, 'The drain deadline ended answers that were still under way.')
    },
    close: () => resources.disposeAsync(),
  }
}

function grpcSettingsOf({ grpc: { tls, certificateKeys } }: Config): GrpcSettings {
  if (!tls) return { tls: undefined, certificateKeys }
  const { certificate, key, clientCa, requireClientCertificate } = tls
  const pem = { certificate: certificate.reveal(), key: key.reveal(), clientCa: clientCa?.reveal() }
  return { tls: { ...pem, requireClientCertificate }, certificateKeys }
}

/** @param sticky - as the alias's settings have it */
const stickyValueOf = ({ request, header }: Call, sticky: string): string | undefined =>
  sticky === 'user' ? request.endUser : header(sticky.slice('header:'.length))
