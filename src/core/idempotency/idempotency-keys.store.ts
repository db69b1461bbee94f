import type { Pool } from 'pg'
import type { StoredAnswer, WrittenAnswer } from './stored-answer.ts'

/** One request that uses a key. */
export interface KeyUse {
  apiKeyId: string
  idempotencyKey: string
  /** Of the request that holds the claim: whoever comes later has another one. */
  requestId: string
  fingerprint: Buffer
}

/** What is known of the request that used a key first. */
export interface EarlierUse {
  requestId: string
  /** Whether it asked for the same. */
  isSame: boolean
  /** `abandoned`: it has not ended, and its replica has not been heard of for a while. */
  state: 'running' | 'ended' | 'abandoned'
  answer: StoredAnswer | undefined
}

/**
 * The claims on idempotency keys. One statement each, all time by the database's clock; rejects when the database does
 * not answer, and then nobody knows whether the statement took effect.
 */
export interface IdempotencyKeyStore {
  /**
   * Takes the key for this request, unless another one has taken it and its time is not over: of any number that ask at
   * once, on any number of replicas, exactly one gets it.
   */
  claim(use: KeyUse): Promise<boolean>
  /** @returns undefined when the key is not in use (any more) */
  find(use: KeyUse): Promise<EarlierUse | undefined>
  /** The requests still run. */
  renew(uses: readonly KeyUse[]): Promise<void>
  /** Gives the keys back, as if they had never been used. */
  release(uses: readonly KeyUse[]): Promise<void>
  /** The request has ended; the key stays used until its time is over. */
  end(use: KeyUse, answer: WrittenAnswer | undefined): Promise<void>
  /** @returns how many rows were deleted, at most `rowsMax` */
  deleteExpired(rowsMax: number): Promise<number>
}

export interface IdempotencyKeyStoreDeps {
  pool: Pool
  /** Names this process in the rows it owns. */
  replica: string
  retentionMs: number
  /** Without a sign of life for so long, the owner of a running request counts as gone. */
  leaseMs: number
}

const claimSql = `
  insert into idempotency_keys as taken
    (api_key_id, idempotency_key, request_id, fingerprint, owner_replica, expires_at)
  values ($1, $2, $3, $4, $5, now() + $6 * interval '1 millisecond')
  on conflict (api_key_id, idempotency_key) do update
  set request_id = excluded.request_id, fingerprint = excluded.fingerprint, owner_replica = excluded.owner_replica,
    expires_at = excluded.expires_at, state = 'running', heartbeat_at = now(), created_at = now(),
    status = null, content_type = null, body = null
  where taken.expires_at <= now()`

// The body may be large: who asked for something else does not get it.
const findSql = `
  select k.request_id as "requestId", k.fingerprint = $3 as "isSame", k.status, k.content_type as "contentType",
    case when k.fingerprint = $3 then k.body end as body,
    case when k.state = 'running' and k.heartbeat_at <= now() - $4 * interval '1 millisecond' then 'abandoned'
      else k.state end as state
  from idempotency_keys k
  where k.api_key_id = $1 and k.idempotency_key = $2 and k.expires_at > now()`

const given = 'unnest($1::uuid[], $2::text[], $3::uuid[]) as given (api_key_id, idempotency_key, request_id)'
const ofGiven = `k.api_key_id = given.api_key_id and k.idempotency_key = given.idempotency_key
    and k.request_id = given.request_id and k.state = 'running'`

const renewSql = `update idempotency_keys k set heartbeat_at = now() from ${given} where ${ofGiven}`

const releaseSql = `delete from idempotency_keys k using ${given} where ${ofGiven}`

const endSql = `
  update idempotency_keys k
  set state = 'ended', status = $4, content_type = $5, body = $6
  where k.api_key_id = $1 and k.idempotency_key = $2 and k.request_id = $3`

// Several replicas clean up at the same time; none waits for another.
const deleteExpiredSql = `
  delete from idempotency_keys k
  where (k.api_key_id, k.idempotency_key) in (
    select e.api_key_id, e.idempotency_key
    from idempotency_keys e
    where e.expires_at <= now()
    order by e.expires_at
    limit $1
    for update skip locked
  )`

interface FoundRow {
  requestId: string
  isSame: boolean
  state: EarlierUse['state']
  status: number | null
  contentType: string | null
  body: Buffer | null
}

export function createIdempotencyKeyStore({
  pool,
  replica,
  retentionMs,
  leaseMs,
}: IdempotencyKeyStoreDeps): IdempotencyKeyStore {
  return {
    async claim({ apiKeyId, idempotencyKey, requestId, fingerprint }) {
      const values = [apiKeyId, idempotencyKey, requestId, fingerprint, replica, retentionMs]
      const { rowCount } = await pool.query(claimSql, values)
      return rowCount === 1
    },

    async find({ apiKeyId, idempotencyKey, fingerprint }) {
      const { rows } = await pool.query<FoundRow>(findSql, [apiKeyId, idempotencyKey, fingerprint, leaseMs])
      const row = rows[0]
      if (!row) return undefined
      const { requestId, isSame, state, status, contentType, body } = row
      const answer =
        status !== null && contentType !== null && body !== null ? { requestId, status, contentType, body } : undefined
      return { requestId, isSame, state, answer }
    },

    renew: async (uses) => void (await pool.query(renewSql, columnsOf(uses))),

    release: async (uses) => void (await pool.query(releaseSql, columnsOf(uses))),

    async end({ apiKeyId, idempotencyKey, requestId }, answer) {
      const { status = null, contentType = null, body = null } = answer ?? {}
      await pool.query(endSql, [apiKeyId, idempotencyKey, requestId, status, contentType, body])
    },

    async deleteExpired(rowsMax) {
      const { rowCount } = await pool.query(deleteExpiredSql, [rowsMax])
      return rowCount ?? 0
    },
  }
}

const columnsOf = (uses: readonly KeyUse[]): string[][] => [
  uses.map(({ apiKeyId }) => apiKeyId),
  uses.map(({ idempotencyKey }) => idempotencyKey),
  uses.map(({ requestId }) => requestId),
]
