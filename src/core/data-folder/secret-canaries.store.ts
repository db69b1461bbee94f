import { createHmac } from 'node:crypto'
import type pg from 'pg'
import { StartRefusal } from '../start-refusal.ts'

/**
 * What the database remembers of a secret, in order to notice another one. One way: it proves possession and helps
 * nobody to find 32 random bytes.
 */
export function secretFingerprint(name: string, secret: Buffer): string {
  return createHmac('sha256', secret).update(`llmgw secret fingerprint v1 ${name}`).digest('hex').slice(0, 32)
}

/**
 * Compares the root secrets with those this database was used with before; the first start leaves its mark.
 *
 * @param others - further master keys that are known, during a rotation: the database may have been used with one of them
 * @throws StartRefusal `secret_mismatch` (exit code 78): going on would turn every key away or make stored credentials
 *   unreadable
 */
export async function checkSecretCanaries(
  database: pg.Pool | pg.ClientBase,
  secrets: Readonly<Record<string, Buffer>>,
  others: readonly Buffer[] = [],
): Promise<void> {
  const names = Object.keys(secrets)
  const fingerprints = Object.entries(secrets).map(([name, secret]) => secretFingerprint(name, secret))
  const accepted = others.map((secret) => secretFingerprint('master-key', secret))
  await database.query(
    `insert into secret_canaries (name, fingerprint)
     select * from unnest($1::text[], $2::text[])
     on conflict (name) do nothing`,
    [names, fingerprints],
  )
  const { rows } = await database.query<{ name: string }>(
    `select known.name
     from secret_canaries known
     join unnest($1::text[], $2::text[]) as offered (name, fingerprint) on offered.name = known.name
     where offered.fingerprint <> known.fingerprint
       and not (known.name = 'master-key' and known.fingerprint = any ($3))
     order by known.name`,
    [names, fingerprints, accepted],
  )
  if (rows.length === 0) return
  throw new StartRefusal(
    'secret_mismatch',
    `This database was used with another ${rows.map(({ name }) => name).join(' and another ')}. Give the gateway the ` +
      'original, in its variable (LLMGW_MASTER_KEY, LLMGW_KEY_PEPPER) or by restoring the secrets in its data folder ' +
      'from a backup. A master key that is to be replaced is named in LLMGW_PREVIOUS_MASTER_KEYS beside the new one until ' +
      '"llmgw secrets rotate" has ended it.',
  )
}
