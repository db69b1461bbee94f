import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openTestJournal, temporaryFolder } from '../../../test/support/usage-journal.ts'
import { usageEnd, usageIntent } from '../../../test/support/usage-records.ts'
import { frameBytes, framePayloadOffset } from './journal-frame.ts'
import type { UsageAttempt, UsageEnd } from './usage-record.ts'

/** The end as it lies in the journal, its intent having been written before. */
async function journaled(end: UsageEnd, intent = usageIntent()): Promise<Record<string, unknown>> {
  using folder = temporaryFolder()
  const journal = openTestJournal(folder.path)
  await journal.append('intent', intent)
  await journal.append('end', end)
  await journal.close()
  const bytes = readFileSync(join(folder.path, '000000000001.journal'))
  return JSON.parse(bytes.toString('utf8', frameBytes(bytes, 0) + framePayloadOffset))
}

test('an end is whole in the journal, whichever of its fields differ from the intent', async () => {
  const intent = usageIntent({ end_user: 'Zoë 🦊' })
  const other: Record<string, unknown> = {
    stream: false,
    unpriced: true,
    retry_uncertain: true,
    tags: { env: 'prod' },
    operation: 'embeddings',
    units: { input: 1, search: 2 },
  }
  const end = usageEnd(intent)
  const [attempt] = end.attempts as [UsageAttempt]
  other.attempts = [{ ...attempt, attempt_no: 1, units: {}, model: 'a "model"', price_version: null }, attempt]
  expect(await journaled(end, intent)).toMatchObject(end)

  for (const [name, value] of Object.entries(end)) {
    if (name === 'request_id') continue
    const changed = { ...end, [name]: other[name] ?? (typeof value === 'number' ? value + 1 : 'other') }
    expect([name, await journaled(changed, intent)]).toEqual([name, expect.objectContaining(changed)])
  }
})

test('what PostgreSQL cannot store is replaced in an end, too', async () => {
  const intent = usageIntent({ end_user: 'a\0' })

  expect(await journaled(usageEnd(intent, { provider_response_id: 'b\0' }), intent)).toMatchObject({
    end_user: 'a\ufffd',
    provider_response_id: 'b\ufffd',
  })
  expect(await journaled(usageEnd(intent), intent)).toMatchObject({ end_user: 'a\ufffd' })
})
