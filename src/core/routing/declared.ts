import { hash } from 'node:crypto'
import type { Pool } from 'pg'
import type { IdSource } from '../ids.ts'
import { Secret } from '../secret.ts'
import { waitForConfigurationTurn } from './configuration-turn.store.ts'
import { applyBudgets } from './declared-budgets.store.ts'
import {
  canonicalJson,
  type DeclaredChange,
  type DeclaredNotice,
  recordAudit,
  type SecretDigest,
} from './declared-change.ts'
import type { DeclaredConfiguration, DeclaredProvider } from './declared-configuration.ts'
import type { DigestedKey } from './declared-key-rows.store.ts'
import { applyKeys, keyRefusals } from './declared-keys.store.ts'
import { applyRateLimits, rateLimitRefusals } from './declared-limits.store.ts'
import { applyModels } from './declared-models.store.ts'
import { ensureDefaultOrganization } from './declared-owners.store.ts'
import { applyAliases, applyProviders, routingRefusals } from './declared-routing.store.ts'

export interface ApplyDeclaredDeps {
  pool: Pool
  ids: IdSource
  digestSecret(secret: string): SecretDigest
  /** Makes a key's secret for keys that are declared without one. */
  generateSecret(): string
}

export type ApplyDeclaredResult =
  | {
      ok: true
      /** `config_versions.version` of what is in force. */
      version: bigint
      /** False when the same was in force already, and nothing was written. */
      isChanged: boolean
      /** Shown to the operator once: nobody can read them again. */
      generatedKeys: readonly { name: string; secret: Secret }[]
      warnings: readonly DeclaredNotice[]
    }
  /** Nothing was changed; what was in force stays. */
  | { ok: false; version: bigint; problems: readonly DeclaredNotice[] }

/**
 * Brings the database to what the file, the environment and the gateway itself declare: all of it in one transaction,
 * or nothing. Several replicas may do so at once; they take turns, and the later ones find nothing to do.
 *
 * What is no longer declared is disabled or revoked, and enabled again when it comes back; rows that an administrator
 * made are never touched. Provider secrets stay where they are declared: only what the process was given has them.
 *
 * @throws what the database throws; nothing was changed then
 */
export async function applyDeclaredConfiguration(
  declared: DeclaredConfiguration,
  { pool, ids, digestSecret, generateSecret }: ApplyDeclaredDeps,
): Promise<ApplyDeclaredResult> {
  const keys = declared.keys.map(
    (key): DigestedKey => ({ key, digest: key.secret && digestSecret(key.secret.reveal()) }),
  )
  const contentHash = hashOf(declared, keys)
  const makeKeySecret = (): { secret: Secret; digest: SecretDigest } => {
    const text = generateSecret()
    return { secret: new Secret(text), digest: digestSecret(text) }
  }
  return inTransaction(pool, ids, async (change) => {
    const last = await lastVersions(change)
    if (last.active?.contentHash === contentHash) {
      return { ok: true, version: last.active.version, isChanged: false, generatedKeys: [], warnings: [] }
    }
    const problems = [
      ...(await routingRefusals(change, declared)),
      ...(await keyRefusals(change, keys)),
      ...(await rateLimitRefusals(change, declared.rateLimits)),
    ]
    if (problems.length > 0) return { ok: false, version: await reject(change, last, contentHash, problems), problems }

    await ensureDefaultOrganization(change)
    const providers = await applyProviders(change, declared.providers)
    await applyModels(change, declared.models, providers.idByName)
    const { generatedKeys, warnings, vanishedBudgetIds } = await applyKeys(change, keys, makeKeySecret)
    await applyAliases(change, declared.aliases, providers.idByName)
    await applyBudgets(change, declared.budgets, vanishedBudgetIds)
    await applyRateLimits(change, declared.rateLimits)

    const version = await writeVersion(change, 'active', contentHash, [])
    const counts = {
      providers: declared.providers.length,
      models: declared.models.length,
      aliases: declared.aliases.length,
      keys: keys.length,
      budgets: declared.budgets.length,
      rateLimits: declared.rateLimits.length,
    }
    await recordAudit(change, {
      actor: 'file',
      action: 'configuration.apply',
      subjectKind: 'config_version',
      subjectId: String(version),
      after: counts,
    })
    return { ok: true, version, isChanged: true, generatedKeys, warnings: [...providers.warnings, ...warnings] }
  })
}

async function inTransaction<T>(pool: Pool, ids: IdSource, work: (change: DeclaredChange) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  let failure: Error | undefined
  try {
    await client.query('begin')
    await waitForConfigurationTurn(client)
    // Not now(): a transaction that waited for the lock began before the one it waited for ended.
    const { rows } = await client.query<{ at: Date }>('select clock_timestamp() as at')
    const at = rows[0]?.at ?? new Date()
    const result = await work({ client, at, newId: () => ids(at.getTime()) })
    await client.query('commit')
    return result
  } catch (error) {
    failure = error instanceof Error ? error : new Error('The transaction failed.')
    // A connection that cannot even roll back is not given back to the pool.
    await client.query('rollback').then(
      () => {
        failure = undefined
      },
      () => {},
    )
    throw error
  } finally {
    client.release(failure)
  }
}

interface StoredVersion {
  version: bigint
  contentHash: string
}

interface LastVersions {
  active: StoredVersion | undefined
  /** The newest one, when it was rejected. */
  rejected: StoredVersion | undefined
}

async function lastVersions({ client }: DeclaredChange): Promise<LastVersions> {
  const { rows } = await client.query<{ version: string; status: string; content_hash: string }>(
    `select distinct on (v.status) v.version::text, v.status, v.content_hash
     from config_versions v where v.source = 'file' order by v.status, v.version desc`,
  )
  const find = (status: string): StoredVersion | undefined => {
    const row = rows.find((candidate) => candidate.status === status)
    return row && { version: BigInt(row.version), contentHash: row.content_hash }
  }
  const active = find('active')
  const rejected = find('rejected')
  return { active, rejected: rejected && rejected.version > (active?.version ?? 0n) ? rejected : undefined }
}

/** Once for each rejected content, however often a replica starts with it. */
async function reject(
  change: DeclaredChange,
  last: LastVersions,
  contentHash: string,
  problems: readonly DeclaredNotice[],
): Promise<bigint> {
  if (last.rejected?.contentHash === contentHash) return last.rejected.version
  const version = await writeVersion(change, 'rejected', contentHash, problems)
  await recordAudit(change, {
    actor: 'file',
    action: 'configuration.reject',
    subjectKind: 'config_version',
    subjectId: String(version),
    after: { problems },
  })
  return version
}

async function writeVersion(
  { client, at }: DeclaredChange,
  status: 'active' | 'rejected',
  contentHash: string,
  problems: readonly DeclaredNotice[],
): Promise<bigint> {
  const { rows } = await client.query<{ version: string }>(
    `insert into config_versions (source, status, content_hash, problems, created_at)
     values ('file', $1, $2, $3, $4) returning version::text`,
    [status, contentHash, JSON.stringify(problems), at],
  )
  return BigInt(rows[0]?.version ?? 0)
}

/** Raised when the same declaration is to be written differently, so that it is applied anew after an upgrade. */
const applyFormat = 1

/** Secrets of keys count by their digest and secrets of providers not at all: the hash stands in the database. */
function hashOf(declared: DeclaredConfiguration, keys: readonly DigestedKey[]): string {
  const content = {
    applyFormat,
    providers: declared.providers.map(storedPartOf),
    models: declared.models,
    aliases: declared.aliases,
    keys: keys.map(({ key, digest }) => ({ ...key, secret: digest?.digest.toString('hex') })),
    budgets: declared.budgets,
    rateLimits: declared.rateLimits,
  }
  return hash('sha256', canonicalJson(content), 'hex')
}

const storedPartOf = (provider: DeclaredProvider): object => ({
  ...provider,
  credentials: Object.keys(provider.credentials).sort(),
})
