import type pg from 'pg'
import type { CallOptions } from './gateway.ts'
import type { ExpectedRefusal } from './refusals.ts'

export const withKey = (key: string, options: CallOptions = {}): CallOptions => ({
  ...options,
  headers: { ...options.headers, 'idempotency-key': key },
})

export const inProgress: ExpectedRefusal = {
  status: 409,
  type: 'idempotency_error',
  code: 'idempotency_in_progress',
  retryAfter: true,
}
export const reused: ExpectedRefusal = {
  status: 409,
  type: 'idempotency_error',
  code: 'idempotency_key_reused',
  noRetry: true,
}
export const mismatch: ExpectedRefusal = {
  status: 422,
  type: 'idempotency_error',
  code: 'idempotency_key_mismatch',
  noRetry: true,
}

export interface KeyRow {
  api_key_id: string
  request_id: string
  state: string
  owner_replica: string
  heartbeat_at: Date
  status: number | null
  content_type: string | null
  body: Buffer | null
  hours_left: number
}

/** What the database has of an idempotency key; undefined when it is free. */
export async function readKeyRow(pool: pg.Pool, key: string): Promise<KeyRow | undefined> {
  const { rows } = await pool.query<KeyRow>(
    `select *, (extract(epoch from expires_at - now()) / 3600)::float8 as hours_left
     from idempotency_keys where idempotency_key = $1`,
    [key],
  )
  return rows[0]
}

/** Lets time go by for one key, by the only clock that counts. */
export async function letPass(pool: pg.Pool, key: string, interval: string): Promise<void> {
  await pool.query(
    `update idempotency_keys
     set created_at = created_at - $2::interval, expires_at = expires_at - $2::interval,
       heartbeat_at = heartbeat_at - $2::interval
     where idempotency_key = $1`,
    [key, interval],
  )
}
