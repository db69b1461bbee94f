import type { Config } from './config/load-config.ts'
import type { ConfigProblem } from './config/problem.ts'
import { createDailyCatalogSync } from './core/catalog/daily-catalog-sync.ts'
import { importBundledCatalog } from './core/catalog/sync.ts'
import type { DatabaseClock } from './core/clock.ts'
import type { Pools } from './core/db/pools.ts'
import { createUuidV7Source } from './core/ids.ts'
import { createKeyDigester } from './core/keys/key-digest.ts'
import { displayOf, generateSecret } from './core/keys/key-format.ts'
import type { Log } from './core/log.ts'
import { applyDeclaredConfiguration } from './core/routing/declared.ts'
import type { SecretDigest } from './core/routing/declared-change.ts'
import type { DeclaredConfiguration } from './core/routing/declared-configuration.ts'
import { StartRefusal } from './core/start-refusal.ts'
import { requestText } from './core/upstream/request.ts'
import { openWayOut } from './outbound.ts'

/** What is done to the database once, however many processes serve from it: the declared configuration, the catalog. */
export interface Upkeep {
  /** Of the first application, for the operator. */
  readonly warnings: readonly string[]
  /** Brings the database to what is declared, all of it or nothing; @returns why not */
  declare(declared: DeclaredConfiguration): Promise<readonly ConfigProblem[]>
  close(): Promise<void>
}

export interface UpkeepDeps {
  config: Config
  log: Log
  clock: DatabaseClock
  pools: Pools
  keyPepper: Buffer
  /** Shows an operator the secret of a key that was declared without one: at once, for it cannot be read again. */
  showKey(key: { name: string; secret: string }): void
  /** Told after what replicas serve from has changed. */
  changed(): void
}

/** @throws StartRefusal when the declared configuration cannot be put in force */
export async function openUpkeep(deps: UpkeepDeps): Promise<Upkeep> {
  const { config, log, clock, pools, keyPepper, showKey, changed } = deps
  const ids = createUuidV7Source()
  const catalog = { pool: pools.admin, newId: ids, clock }
  const imported = await importBundledCatalog(catalog)

  const digester = createKeyDigester([keyPepper])
  const digestSecret = (secret: string): SecretDigest => {
    const [digest] = digester.digests(secret) as [{ bytes: Buffer; pepperId: string }]
    return { digest: digest.bytes, pepperId: digest.pepperId, ...displayOf(secret) }
  }
  const apply = async (declared: DeclaredConfiguration) => {
    const result = await applyDeclaredConfiguration(declared, {
      pool: pools.admin,
      ids,
      digestSecret,
      generateSecret,
    })
    if (result.ok) for (const { name, secret } of result.generatedKeys) showKey({ name, secret: secret.reveal() })
    if (result.ok && result.isChanged) changed()
    return result
  }
  const applied = await apply(config.declared)
  if (!applied.ok) throw rejected(applied.problems)
  if (imported.status === 'succeeded' && imported.isChanged) changed()

  const client = openWayOut(config.settings, log)
  const sync = createDailyCatalogSync({
    ...catalog,
    log,
    enabled: config.catalog.sync === 'daily',
    location: config.catalog.url,
    fetchText: (url, options) => requestText(client, url, options),
    changed,
  })
  return {
    warnings: applied.warnings.map(({ path, message }) => `${path} ${message}`),
    async declare(declared) {
      const result = await apply(declared)
      return result.ok ? [] : result.problems
    },
    close: () => sync.close(),
  }
}

/** What an operator is told when a start cannot put the declared configuration in force. */
export function rejected(problems: readonly { path: string; message: string }[]): StartRefusal {
  const list = problems.map(({ path, message }) => `  ${path}: ${message}`).join('\n')
  return new StartRefusal('configuration_rejected', `The configuration cannot be put in force:\n${list}`)
}
