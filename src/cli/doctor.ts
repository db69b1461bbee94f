import { existsSync } from 'node:fs'
import { access, constants, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config, LoadConfigResult } from '../config/load-config.ts'
import { checkSecretCanaries } from '../core/data-folder/secret-canaries.store.ts'
import { readSchemaState } from '../core/db/migrate.ts'
import { openPools, type Pools } from '../core/db/pools.ts'
import type { Log } from '../core/log.ts'
import { readRedisUrl } from '../core/redis/redis-url.ts'
import { type MasterKeys, openKeyring } from '../core/secrets/open-keyring.store.ts'
import { masterKeysOf } from '../master-keys.ts'
import { proxiesOf } from '../outbound.ts'
import { type CommandData, openCommandData } from './open-database.ts'
import { reasonOf } from './reason-of.ts'

export interface DoctorDeps {
  loaded: LoadConfigResult
  log: Log
  print(line: string): void
}

/** One thing that was looked at. `advice` says what to do when it is not well. */
interface Finding {
  level: 'ok' | 'warning' | 'problem'
  text: string
  advice?: string
}

/**
 * Looks at everything a start needs, and says in plain words what is wrong.
 *
 * @returns the exit status: 0 when a start would succeed, 1 when it would not
 */
export async function runDoctor({ loaded, log, print }: DoctorDeps): Promise<0 | 1> {
  const findings: Finding[] = []
  if (loaded.ok) {
    findings.push({ level: 'ok', text: 'The configuration is valid.' })
    for (const { path, message } of loaded.warnings) findings.push({ level: 'warning', text: `${path} ${message}.` })
    findings.push(...(await lookAtData(loaded.config, log)), ...(await redisFindings(loaded.config)))
    findings.push(...providerFindings(loaded.config))
  } else {
    for (const { path, message } of loaded.problems) {
      findings.push({ level: 'problem', text: `${path}: ${message}.`, advice: 'See docs/configuration.md.' })
    }
  }
  for (const { level, text, advice } of findings) {
    print(`${marks[level]} ${text}`)
    if (advice && level !== 'ok') print(`      ${advice}`)
  }
  const problems = findings.filter(({ level }) => level === 'problem').length
  print('')
  print(
    problems === 0 ? 'All is well.' : `${problems} ${problems === 1 ? 'problem has' : 'problems have'} to be mended.`,
  )
  return problems === 0 ? 0 : 1
}

const marks = { ok: 'ok   ', warning: 'warn ', problem: 'WRONG' } as const

async function lookAtData({ settings }: Config, log: Log): Promise<Finding[]> {
  const findings = await folderFindings(settings.dataDir)
  // Looking must not make the folder, its secrets and its database.
  if (settings.databaseUrl === undefined && !existsSync(settings.dataDir)) return findings
  let data: CommandData
  try {
    data = await openCommandData(settings, log)
  } catch (error) {
    return [...findings, { level: 'problem', text: `The data cannot be opened: ${reasonOf(error)}` }]
  }
  await using _data = data
  const pools = openPools({ url: data.url, log })
  try {
    findings.push(...(await databaseFindings(pools, data.secrets, masterKeysOf(settings, data.secrets['master-key']))))
  } finally {
    await pools.close()
  }
  return findings
}

async function folderFindings(dataDir: string): Promise<Finding[]> {
  try {
    await access(dataDir, constants.R_OK | constants.W_OK)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return [{ level: 'ok', text: `The data folder ${dataDir} is not there yet; a start makes it.` }]
    }
    const advice = 'Change its owner, or set LLMGW_DATA_DIR to a folder that this user may write to.'
    return [{ level: 'problem', text: `The data folder ${dataDir} cannot be written to.`, advice }]
  }
  const findings: Finding[] = [{ level: 'ok', text: `The data folder ${dataDir} can be written to.` }]
  for (const name of ['master-key', 'key-pepper']) {
    const file = join(dataDir, 'secrets', name)
    const found = await stat(file).catch(() => undefined)
    if (found && (found.mode & 0o077) !== 0) {
      findings.push({
        level: 'warning',
        text: `The secret ${file} can be read by others.`,
        advice: `Run: chmod 600 ${file}`,
      })
    }
  }
  return findings
}

async function databaseFindings(
  pools: Pools,
  secrets: CommandData['secrets'],
  masters: MasterKeys,
): Promise<Finding[]> {
  const findings: Finding[] = []
  try {
    const { rows } = await pools.admin.query<{ version: string; read_only: string }>(
      `select current_setting('server_version') as version, current_setting('transaction_read_only') as read_only`,
    )
    findings.push({ level: 'ok', text: `The database answers (PostgreSQL ${rows[0]?.version}).` })
    if (rows[0]?.read_only === 'on') {
      const advice = 'DATABASE_URL must name the primary, not a replica.'
      findings.push({ level: 'problem', text: 'The database only lets us read.', advice })
    }
  } catch (error) {
    const advice = 'Check DATABASE_URL, and that the server runs and takes connections from here.'
    return [{ level: 'problem', text: `The database does not answer: ${reasonOf(error)}`, advice }]
  }
  const state = await readSchemaState(pools.admin)
  if (state.status === 'incompatible') {
    const advice = 'Start the release that made it, or a newer one.'
    return [...findings, { level: 'problem', text: 'The schema is newer than this release.', advice }]
  }
  if (state.status === 'behind') {
    const text = `Not all migrations have run. Pending: ${state.pending.join(', ')}.`
    return [
      ...findings,
      { level: 'warning', text, advice: 'A start runs them, unless LLMGW_MIGRATE=off; or run "llmgw migrate".' },
    ]
  }
  findings.push({ level: 'ok', text: 'The schema is that of this release.' })
  findings.push(await secretFinding(pools, secrets, masters), ...(await contentFindings(pools)))
  return findings
}

async function secretFinding(pools: Pools, secrets: CommandData['secrets'], masters: MasterKeys): Promise<Finding> {
  try {
    await checkSecretCanaries(pools.admin, secrets, masters.others)
    await openKeyring(pools.admin, masters)
    return { level: 'ok', text: 'The secrets are those this database was used with.' }
  } catch (error) {
    return { level: 'problem', text: reasonOf(error) }
  }
}

async function contentFindings(pools: Pools): Promise<Finding[]> {
  const { rows } = await pools.admin.query<{ keys: number; prices: number; synced: string | null }>(
    `select (select count(*)::integer from api_keys where revoked_at is null and enabled) as keys,
       (select count(*)::integer from model_prices where effective_until is null) as prices,
       (select to_char(max(finished_at) at time zone 'UTC', 'YYYY-MM-DD') from catalog_syncs
        where status = 'succeeded') as synced`,
  )
  const { keys = 0, prices = 0, synced = null } = rows[0] ?? {}
  return [
    keys > 0
      ? { level: 'ok', text: `${keys} ${keys === 1 ? 'key' : 'keys'} can be used.` }
      : {
          level: 'warning',
          text: 'There is no key that can be used.',
          advice: 'Make one: llmgw keys create --name NAME',
        },
    prices > 0
      ? { level: 'ok', text: `${prices} prices are known (catalog of ${synced}).` }
      : {
          level: 'warning',
          text: 'No prices are known.',
          advice: 'A start imports them; or run "llmgw catalog sync".',
        },
  ]
}

/** A gateway starts without its Redis, so none of this is a problem that keeps it from starting. */
async function redisFindings({ settings }: Config): Promise<Finding[]> {
  if (settings.redisUrl === undefined) return []
  const { inspectRedis } = await import('../core/redis/inspect-redis.redis.ts')
  const seen = await inspectRedis(readRedisUrl(settings.redisUrl.reveal()))
  if (!seen.reachable) {
    const advice = 'Check REDIS_URL. A gateway starts, and each replica counts for itself until Redis is there.'
    return [{ level: 'warning', text: `Redis does not answer: ${seen.reason}.`, advice }]
  }
  const { version, evictionPolicy } = seen
  const findings: Finding[] = [{ level: 'ok', text: `Redis answers (${version ?? 'it does not say which version'}).` }]
  if (evictionPolicy === 'noeviction') findings.push({ level: 'ok', text: 'Redis keeps what it is given.' })
  else {
    const text = evictionPolicy
      ? `Redis evicts keys (maxmemory-policy ${evictionPolicy}), so limits may be exceeded.`
      : 'Redis does not say whether it evicts keys.'
    findings.push({ level: 'warning', text, advice: 'Set maxmemory-policy noeviction there.' })
  }
  return findings
}

function providerFindings({ declared, settings }: Config): Finding[] {
  const proxies = proxiesOf(settings.proxies)
  return declared.providers.map((provider): Finding => {
    const name = `The provider ${provider.name} (${provider.type})`
    if (!provider.enabled) return { level: 'warning', text: `${name} is switched off.` }
    if (provider.baseUrl !== null && Object.keys(provider.credentials).length === 0) {
      const advice = 'Fine for a local server that asks for none; else set its credentials in the file.'
      return { level: 'warning', text: `${name} has no credentials.`, advice }
    }
    const isPlain = provider.baseUrl?.startsWith('http:')
    const allowed = isPlain ? ` (plain http, allowed by LLMGW_PRIVATE_UPSTREAMS=${settings.privateUpstreams})` : ''
    const url = provider.baseUrl === null ? null : URL.parse(provider.baseUrl)
    const { protocol = '', hostname = '', port = '' } = url ?? {}
    const proxy = proxies.proxyFor({ protocol, hostname, port: port ? Number(port) : undefined })
    const through = url && proxy ? `, reached through the proxy ${proxy.hostname}:${proxy.port}` : ''
    return { level: 'ok', text: `${name} is declared${allowed}${through}.` }
  })
}
