import { createHash } from 'node:crypto'
import type { Pool } from 'pg'
import type { Clock } from '../clock.ts'
import type { IdSource } from '../ids.ts'
import { Secret } from '../secret.ts'
import { openSecret, type SealedPlace, type SealedSecret, SealedSecretError, sealSecret } from '../secrets/envelope.ts'
import type { Keyring } from '../secrets/keyring.ts'
import type { Principal } from './principal.ts'

/**
 * Answers to changes that came with an idempotency key, so that whoever has not heard one may ask again and is told the
 * same: for a day, sealed, for a new key's secret may be in them.
 */
export interface AdminAnswers {
  /** @param request - what was asked, as text: the key stands for this alone */
  begin(asker: Pick<Principal, 'kind' | 'id'>, key: string, request: string): Promise<AdminClaim>
}

export type AdminClaim =
  | { outcome: 'begun'; end(answer: string): Promise<void>; release(): Promise<void> }
  | { outcome: 'answered'; answer: string }
  /** `running`: of the same request; `other`: of another; `lost`: it was answered, and the answer cannot be had. */
  | { outcome: 'running' | 'other' | 'lost' }

export interface AdminAnswersDeps {
  pool: Pool
  keyring: Keyring
  clock: Clock
  newId: IdSource
}

/** Whoever has claimed a key and not come back for so long will not. */
const abandonedMs = 60_000
const keptMs = 24 * 3_600_000

interface AnswerRow extends Partial<SealedSecret> {
  id: string
  fingerprint: Buffer
  isAbandoned: boolean
  isMine: boolean
}

export function createAdminAnswers({ pool, keyring, clock, newId }: AdminAnswersDeps): AdminAnswers {
  return {
    async begin({ kind, id: accountId }, key, request) {
      const id = newId(clock.nowMs())
      const fingerprint = createHash('sha256').update(request).digest()
      const owner = [kind, accountId, key]
      await pool.query(
        `delete from admin_answers a where a.created_at < clock_timestamp() - $1 * interval '1 millisecond'`,
        [keptMs],
      )
      const { rows } = await pool.query<AnswerRow>(
        `with claimed as (
           insert into admin_answers (id, account_kind, account_id, key, fingerprint) values ($4, $1, $2, $3, $5)
           on conflict (account_kind, account_id, key) do update
           set id = excluded.id, created_at = clock_timestamp()
           where admin_answers.ciphertext is null and admin_answers.fingerprint = excluded.fingerprint
             and admin_answers.created_at < clock_timestamp() - $6 * interval '1 millisecond'
           returning id
         )
         select $4::uuid as id, null::bytea as fingerprint, null::bytea as ciphertext, null::bytea as nonce,
           null::bytea as "wrappedDataKey", null as "keyEncryptionKeyId", true as "isMine" from claimed
         union all
         select a.id, a.fingerprint, a.ciphertext, a.nonce, a.wrapped_data_key, a.key_encryption_key_id, false
         from admin_answers a
         where a.account_kind = $1 and a.account_id = $2 and a.key = $3 and not exists (select from claimed)`,
        [...owner, id, fingerprint, abandonedMs],
      )
      const [row] = rows
      // Released by somebody just now; whoever asks once more finds it free.
      if (!row) return { outcome: 'running' }
      if (!row.isMine) return outcomeOf(keyring, row, fingerprint)
      return {
        outcome: 'begun',
        async end(answer) {
          const sealed = sealSecret(keyring, placeOf(id), new Secret(answer))
          await pool.query(
            `update admin_answers set ciphertext = $2, nonce = $3, wrapped_data_key = $4, key_encryption_key_id = $5
             where id = $1`,
            [id, sealed.ciphertext, sealed.nonce, sealed.wrappedDataKey, sealed.keyEncryptionKeyId],
          )
        },
        release: async () => void (await pool.query('delete from admin_answers where id = $1', [id])),
      }
    },
  }
}

function outcomeOf(keyring: Keyring, row: AnswerRow, fingerprint: Buffer): AdminClaim {
  if (!row.fingerprint.equals(fingerprint)) return { outcome: 'other' }
  if (!row.ciphertext) return { outcome: 'running' }
  try {
    return { outcome: 'answered', answer: openSecret(keyring, placeOf(row.id), row as SealedSecret).reveal() }
  } catch (error) {
    // Its key was rotated away since: answers are not worth keeping keys for.
    if (error instanceof SealedSecretError) return { outcome: 'lost' }
    throw error
  }
}

const placeOf = (rowId: string): SealedPlace => ({
  tenant: 'gateway',
  table: 'admin_answers',
  rowId,
  field: 'answer',
  origin: 'admin',
})
