import { Command, InvalidArgumentError } from 'commander'
import { type Logger, pino } from 'pino'
import { type BudgetCommandsDeps, listBudgets, raiseBudget } from './cli/budgets.ts'
import { syncCatalogCommand } from './cli/catalog-sync.ts'
import { runDoctor } from './cli/doctor.ts'
import { dollars } from './cli/dollars.ts'
import { createKey, type KeyCommandsDeps, listKeys, revokeKey, rotateKey } from './cli/keys.ts'
import { type LimitCommandsDeps, resetLimits, showLimits } from './cli/limits.ts'
import { moment } from './cli/moment.ts'
import { type CommandDatabase, openCommandData, openCommandDatabase } from './cli/open-database.ts'
import { openSharedLimiter } from './cli/open-limiter.ts'
import { openRerating } from './cli/open-rerating.ts'
import { listProvidersCommand, setCredentialCommand } from './cli/providers.ts'
import { readSecret } from './cli/read-secret.ts'
import { reasonOf } from './cli/reason-of.ts'
import { rotateSecretsCommand } from './cli/secrets-rotate.ts'
import { seedDevelopmentDatabase } from './cli/seed.ts'
import { tellGateways } from './cli/tell-gateways.ts'
import { rebuildUsageCommand } from './cli/usage-rebuild.ts'
import { rerateUsageCommand } from './cli/usage-rerate.ts'
import { credentialProblem } from './config/credential-fields.ts'
import { type Config, configExitCode, createConfigLoader } from './config/load-config.ts'
import { formatProblems } from './config/problem.ts'
import { createBudgetStore } from './core/budgets/budgets.store.ts'
import { syncFromLocation } from './core/catalog/sync.ts'
import { createDatabaseClock } from './core/clock.ts'
import { openConnection } from './core/db/connection.ts'
import { synchronizeClock } from './core/db/database-clock-sync.ts'
import { migrateDown, migrateUp } from './core/db/migrate.ts'
import type { GatewayEvent } from './core/events/event-bus.ts'
import { createUuidV7Source } from './core/ids.ts'
import { createKeyDigester } from './core/keys/key-digest.ts'
import { createKeyStore } from './core/keys/keys.store.ts'
import { createKeys } from './core/keys/keys.ts'
import { readLimitsOfKey } from './core/limits/rate-limits.store.ts'
import { formatUsd } from './core/money.ts'
import { listProviders } from './core/routing/listed-providers.store.ts'
import { openKeyring } from './core/secrets/open-keyring.store.ts'
import { createCredentialStore } from './core/secrets/provider-credentials.store.ts'
import { rotateSecrets } from './core/secrets/rotate.store.ts'
import { StartRefusal } from './core/start-refusal.ts'
import { requestText } from './core/upstream/request.ts'
import { createRebuildStore } from './core/usage/rebuild-rollups.store.ts'
import { rebuildRollups } from './core/usage/rebuild-rollups.ts'
import { rerate } from './core/usage/rerate.ts'
import { openWayOut } from './outbound.ts'
import { openProbe } from './probe/open-probe.ts'
import { probeProvider } from './probe/provider-probe.ts'

const loader = createConfigLoader(process.env)
const print = (line: string): void => void process.stdout.write(`${line}\n`)
const tell = (line: string): void => void process.stderr.write(`${line}\n`)
const syncTimeoutMs = 120_000

const program = new Command('llmgw').description('ThinkPixel LLM Gateway').showHelpAfterError()

program
  .command('start')
  .description('run the gateway (what `npm start` does); this is also done without any command')
  .action(async () => {
    // The gateway itself takes most of a second to load, which no other command needs.
    const { runProcess } = await import('./process.ts')
    process.exitCode = await runProcess(loader)
  })

program
  .command('migrate')
  .description('bring the database schema up to this release')
  .option('--down-to <migration>', 'undo the migrations after this one; "nothing" undoes all of them')
  .action((options: { downTo?: string }) =>
    withConfig(async (config, log) => {
      await using data = await openCommandData(config.settings, log)
      const { url } = data
      const { migrations } =
        options.downTo === undefined
          ? await migrateUp({ url, log })
          : await migrateDown({ url, log, to: options.downTo === 'nothing' ? 0 : options.downTo })
      if (migrations.length === 0) print('There is nothing to do.')
      for (const name of migrations) print(`${options.downTo === undefined ? 'ran' : 'undid'} ${name}`)
      return 0
    }),
  )

const keys = program.command('keys').description('virtual keys')
keys
  .command('create')
  .description('make a key and print its secret, once')
  .requiredOption('--name <name>', 'what it is called')
  .option('--models <patterns>', 'what it may use, such as "smart,openai/*"; everything without it')
  .option('--expires <when>', 'a span such as 30d, or a date and time')
  .option('--tag <key=value...>', 'for reports; may be given several times')
  .option('--organization <slug>')
  .option('--team <slug>')
  .option('--json', 'print JSON')
  .action((options) => withKeys((deps) => createKey(deps, options)))
keys
  .command('list')
  .description('list all keys, the newest first')
  .option('--json', 'print JSON')
  .action((options) => withKeys((deps) => listKeys(deps, options)))
keys
  .command('revoke')
  .description('end a key for good')
  .argument('<id-or-name>')
  .option('--terminate', 'end its calls under way, too')
  .action((idOrName: string, options) => withKeys((deps) => revokeKey(deps, idOrName, options)))
keys
  .command('rotate')
  .description('give a key another secret and print it, once')
  .argument('<id-or-name>')
  .option('--overlap <span>', 'how long the one before goes on, such as 12h or 7d; 0 ends it at once', '1d')
  .option('--json', 'print JSON')
  .action((idOrName: string, options) => withKeys((deps) => rotateKey(deps, idOrName, options)))

const limits = program.command('limits').description('rate limits of a key, its team and its organization')
limits
  .command('show')
  .description('what a key may do and, with REDIS_URL, how much of it is taken')
  .argument('<id-or-name>')
  .option('--json', 'print JSON')
  .action((idOrName: string, options: { json?: boolean }) => withLimits((deps) => showLimits(deps, idOrName, options)))
limits
  .command('reset')
  .description('forget the requests and tokens that were counted for a key; needs REDIS_URL')
  .argument('<id-or-name>')
  .action((idOrName: string) => withLimits((deps) => resetLimits(deps, idOrName)))

program
  .command('catalog')
  .description('models and prices')
  .command('sync')
  .description("read LiteLLM's price list into the catalog")
  .option('--from <url-or-file>', "instead of LiteLLM's own copy")
  .option('--allow-shrink', 'accept a list with less than half of the known models')
  .option('--json', 'print JSON')
  .action((options) =>
    withDatabase(async (database, config) => {
      const client = openWayOut(config.settings)
      const deps = {
        pool: database.pools.admin,
        newId: createUuidV7Source(),
        clock: createDatabaseClock(),
        fetchText: (url: string, limits: { maxBytes: number; signal: AbortSignal }) => requestText(client, url, limits),
      }
      const from = options.from ?? config.catalog.url
      const status = await syncCatalogCommand(
        { sync: (wanted) => syncFromLocation(deps, { ...wanted, signal: AbortSignal.timeout(syncTimeoutMs) }), print },
        { ...options, from },
      )
      if (status === 0) await announce(config, [{ type: 'configuration-changed' }])
      return status
    }),
  )

const providers = program.command('providers').description('where calls go, and what they are paid with')
providers
  .command('list')
  .description('list all providers with their addresses and credentials, of which no secret is shown')
  .option('--json', 'print JSON')
  .action((options: { json?: boolean }) =>
    withDatabase(async ({ pools }) => {
      await listProvidersCommand({ list: () => listProviders(pools.admin), print }, options)
      return 0
    }),
  )
providers
  .command('set-credential')
  .description('store a secret of a provider, read from the standard input')
  .argument('<provider>')
  .argument('<field>', 'such as apiKey, or header:x-team for a constant header')
  .action((name: string, field: string) =>
    withDatabase(async ({ pools, masters }, config) => {
      const clock = createDatabaseClock()
      await synchronizeClock(pools.admin, clock)
      const keyring = await openKeyring(pools.admin, masters)
      const status = await setCredentialCommand(
        {
          list: () => listProviders(pools.admin),
          store: createCredentialStore({ pool: pools.admin, keyring, ids: createUuidV7Source(), clock }),
          problemOf: credentialProblem,
          readSecret: () => readSecret(process.stdin, (text) => void process.stderr.write(text)),
          print,
          tell,
        },
        name,
        field,
      )
      if (status === 0) await announce(config, [{ type: 'configuration-changed' }])
      return status
    }),
  )
providers
  .command('test')
  .description('make one real call, the cheapest there is, and say what is wrong')
  .argument('<provider>')
  .option('--model <name>', "the provider's name of it; without it one is chosen")
  .action((name: string, { model }: { model?: string }) =>
    withDatabase(async ({ pools, masters }, config) => {
      const keyring = await openKeyring(pools.admin, masters)
      const clock = createDatabaseClock()
      await synchronizeClock(pools.admin, clock)
      const target = await openProbe({ config, pool: pools.admin, keyring, nowMs: clock.nowMs() }, name, model)
      const ids = createUuidV7Source()
      try {
        const { ok, lines } = await probeProvider(target, () => ids(clock.nowMs()))
        lines.forEach(print)
        return ok ? 0 : 1
      } finally {
        await target.provider.close()
      }
    }),
  )

program
  .command('secrets')
  .description('what protects stored credentials')
  .command('rotate')
  .description('bring all stored credentials under the current master key, and retire the earlier one')
  .action(() =>
    withDatabase(async ({ pools, masters }) => {
      const keyring = await openKeyring(pools.admin, masters)
      const clock = createDatabaseClock()
      await synchronizeClock(pools.admin, clock)
      const ids = createUuidV7Source()
      const actor = { kind: 'operator', id: undefined } as const
      const deps = { pool: pools.admin, keyring, masters, actor, newId: () => ids(clock.nowMs()) }
      return await rotateSecretsCommand({ rotate: (progress) => rotateSecrets({ ...deps, progress }), print })
    }),
  )

const usage = program.command('usage').description('recorded usage and its sums')
usage
  .command('rebuild')
  .description('compare the sums by hour, day, month and tag with records and ledger, and mend them')
  .option('--from <date>', 'the first day (UTC); everything without it', moment)
  .option('--to <date>', 'up to this day, which is left out', moment)
  .option('--dry-run', 'only say what is wrong')
  .option('--json', 'print JSON')
  .action((options) =>
    withDatabase(async ({ url }) => {
      await using client = await openConnection({ url, purpose: 'usage rebuild' })
      const store = createRebuildStore(client)
      return await rebuildUsageCommand({ rebuild: (wanted) => rebuildRollups(store, wanted), print }, options)
    }),
  )

usage
  .command('rerate')
  .description('compute anew what the calls of a model cost, and enter the difference')
  .requiredOption('--from <when>', 'calls from this date (UTC) or time on', moment)
  .requiredOption('--to <when>', 'calls before this date or time', moment)
  .requiredOption('--model <name>', 'as usage records name it')
  .option('--provider <name>', 'only calls that this provider answered')
  .option('--price-version <id>', 'the price to use; the one in force now without it')
  .option('--apply', 'really do it')
  .option('--json', 'print JSON')
  .action((options) =>
    withDatabase(async ({ url, pools }) => {
      await using client = await openConnection({ url, purpose: 'usage rerate' })
      const clock = createDatabaseClock()
      await synchronizeClock(pools.admin, clock)
      const deps = await openRerating({ client, pool: pools.admin, clock, ...options })
      return await rerateUsageCommand({ rerate: (wanted) => rerate(deps, wanted), print }, options)
    }),
  )

const budgets = program.command('budgets').description('what may be spent, and what is left of it')
budgets
  .command('list')
  .description('how every budget stands in its current period')
  .option('--json', 'print JSON')
  .action((options) => withBudgets((deps) => listBudgets(deps, options)))
budgets
  .command('raise')
  .description('raise a budget for a while; with 0 dollars, end that before its time')
  .argument('<id>', 'as `budgets list` shows it')
  .requiredOption('--amount-usd <dollars>', 'what may be spent in addition', dollars)
  .requiredOption('--until <when>', 'a date (UTC) or a time', moment)
  .action((id: string, { amountUsd: amountNano, until }: { amountUsd: bigint; until: Date }) =>
    withBudgets((deps) => raiseBudget(deps, id, { amountNano, until })),
  )

program
  .command('seed')
  .description('fill a development database with organizations, teams, keys and usage that looks real')
  .option('--calls <n>', 'how many', wholeNumber, 200_000)
  .option('--days <n>', 'over how many days', wholeNumber, 90)
  .option('--seed <n>', 'the same number gives the same data', wholeNumber, 1)
  .option('--force', 'add to a database that has usage already')
  .action((options: { calls: number; days: number; seed: number; force?: boolean }) =>
    withDatabase(async ({ url }, _config, log) => {
      const result = await seedDevelopmentDatabase({ url, log, ...options })
      if (!result.seeded) {
        tell(result.reason)
        return 1
      }
      const { notes, costNano, ...counts } = result.summary
      for (const [what, count] of Object.entries(counts)) print(`${String(count).padStart(9)}  ${what}`)
      print(`${formatUsd(costNano).padStart(9)}  US dollars`)
      for (const note of notes) print(note)
      return 0
    }),
  )

program
  .command('doctor')
  .description('check configuration, data folder, secrets, database and Redis, and say what is wrong')
  .action(async () => {
    const loaded = loader.load()
    process.exitCode = await runDoctor({ loaded, log: commandLog(), print })
  })

const words = process.argv.slice(2)
// Not commander's default command, which would take a mistyped one for an argument of its own.
await program.parseAsync(words.length === 0 ? ['start'] : words, { from: 'user' })

async function withConfig(run: (config: Config, log: Logger) => Promise<number>): Promise<void> {
  const loaded = loader.load()
  if (!loaded.ok) {
    tell(formatProblems(loaded.problems))
    process.exitCode = configExitCode
    return
  }
  try {
    process.exitCode = await run(loaded.config, commandLog())
  } catch (error) {
    tell(reasonOf(error))
    process.exitCode = error instanceof StartRefusal ? error.exitCode : 1
  }
}

function withDatabase(run: (database: CommandDatabase, config: Config, log: Logger) => Promise<number>): Promise<void> {
  return withConfig(async (config, log) => {
    await using database = await openCommandDatabase(config.settings, log)
    return await run(database, config, log)
  })
}

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Expected a whole number.')
  return Number(text)
}

function withKeys(run: (deps: KeyCommandsDeps) => Promise<void>): Promise<void> {
  return withDatabase(async ({ pools, keyPepper }, config) => {
    const clock = createDatabaseClock()
    await synchronizeClock(pools.admin, clock)
    const digester = createKeyDigester([keyPepper])
    const store = createKeyStore(pools.admin)
    const events: GatewayEvent[] = []
    const changed = (keyId: string, { endsCalls }: { endsCalls: boolean }): void => {
      events.push({ type: 'key-changed', keyId })
      if (endsCalls) events.push({ type: 'key-ended', keyId })
    }
    const service = createKeys({ store, digester, clock, newId: createUuidV7Source(), changed })
    await run({ keys: service, clock, actor: { kind: 'operator', id: undefined }, print })
    await announce(config, events)
    return 0
  })
}

function withLimits(run: (deps: LimitCommandsDeps) => Promise<void>): Promise<void> {
  return withDatabase(async ({ pools, keyPepper }, { settings }, log) => {
    const clock = createDatabaseClock()
    await synchronizeClock(pools.admin, clock)
    const digester = createKeyDigester([keyPepper])
    const store = createKeyStore(pools.admin)
    const keys = createKeys({ store, digester, clock, newId: createUuidV7Source(), changed() {} })
    const limiter = await openSharedLimiter(settings, log)
    try {
      await run({ keys, clock, print, limiter, limitsOf: (keyId) => readLimitsOfKey(pools.admin, keyId) })
    } finally {
      await limiter?.close()
    }
    return 0
  })
}

function withBudgets(run: (deps: BudgetCommandsDeps) => Promise<void>): Promise<void> {
  return withDatabase(async ({ pools }) => {
    const clock = createDatabaseClock()
    await synchronizeClock(pools.admin, clock)
    const actor = { kind: 'operator', id: undefined } as const
    await run({ budgets: createBudgetStore(pools.admin), newId: createUuidV7Source(), clock, actor, print })
    return 0
  })
}

/** What is done is done: that nobody could be told is a remark. */
async function announce({ settings }: Config, events: readonly GatewayEvent[]): Promise<void> {
  if (await tellGateways(settings, events)) return
  tell('Redis cannot be reached: running gateways find the change in the database, within seconds.')
}

/** Commands speak to a person: only what went wrong is logged, and not to where their output goes. */
function commandLog(): Logger {
  return pino({ level: 'warn', base: null }, pino.destination({ dest: 2, sync: true }))
}
