import { journalable } from './journal-frame.ts'
import { storable, storableText } from './storable-text.ts'
import type { UsageIntent } from './usage-record.ts'

/** What differs from one call of a key to the next, even for the same model. */
type OwnField =
  | 'request_id'
  | 'reserved_at'
  | 'caller_key_id'
  | 'input_tokens_estimate'
  | 'orphan_cost_nano'
  | 'reserved_nano'
  | 'budget_period_ids'
  | 'budget_lease_ids'
  | 'end_user'
  | 'client_request_id'

type SharedFields = Omit<UsageIntent, OwnField>

interface SharedText {
  fields: SharedFields
  /** The members of a JSON object, without its braces. */
  text: string
}

/** By the tags of a key, which are one object for all calls of that key: one text per model and way of calling it. */
const textsByTags = new WeakMap<object, SharedText[]>()
const textsPerKeyMax = 16

/**
 * The JSON text of an intent, as `journalText` would have it: most of it is what the last call of that key to that model
 * had, too, and is not encoded again.
 *
 * @throws RangeError when the record cannot be journaled
 */
export function intentText(intent: UsageIntent): string {
  return journalable(
    `{"request_id":"${intent.request_id}","reserved_at":"${intent.reserved_at}",` +
      `"caller_key_id":${intent.caller_key_id === null ? 'null' : `"${intent.caller_key_id}"`},${sharedText(intent)},` +
      `"input_tokens_estimate":${intent.input_tokens_estimate},"orphan_cost_nano":"${intent.orphan_cost_nano}",` +
      `"reserved_nano":"${intent.reserved_nano}","budget_period_ids":${idsText(intent.budget_period_ids)},` +
      `"budget_lease_ids":${idsText(intent.budget_lease_ids)},"end_user":${storableText(intent.end_user)},` +
      `"client_request_id":${storableText(intent.client_request_id)}}`,
  )
}

function sharedText(intent: UsageIntent): string {
  let texts = textsByTags.get(intent.tags)
  if (!texts) {
    texts = []
    textsByTags.set(intent.tags, texts)
  }
  for (const { fields, text } of texts) if (haveSame(fields, intent)) return text
  const made = encoded(intent)
  if (texts.length === textsPerKeyMax) texts.length = 0
  texts.push(made)
  return made.text
}

function encoded(intent: UsageIntent): SharedText {
  const fields: SharedFields = {
    organization_id: intent.organization_id,
    team_id: intent.team_id,
    key_id: intent.key_id,
    operation: intent.operation,
    door: intent.door,
    requested_model: intent.requested_model,
    alias: intent.alias,
    provider: intent.provider,
    model: intent.model,
    stream: intent.stream,
    price_version: intent.price_version,
    unpriced: intent.unpriced,
    tags: intent.tags,
    owner_replica: intent.owner_replica,
  }
  return { fields, text: JSON.stringify(storable(fields)).slice(1, -1) }
}

/** Written out, since a loop over the names costs more than it saves. */
function haveSame(fields: SharedFields, intent: UsageIntent): boolean {
  return (
    fields.requested_model === intent.requested_model &&
    fields.model === intent.model &&
    fields.provider === intent.provider &&
    fields.alias === intent.alias &&
    fields.stream === intent.stream &&
    fields.operation === intent.operation &&
    fields.door === intent.door &&
    fields.price_version === intent.price_version &&
    fields.unpriced === intent.unpriced &&
    fields.key_id === intent.key_id &&
    fields.team_id === intent.team_id &&
    fields.organization_id === intent.organization_id &&
    fields.tags === intent.tags &&
    fields.owner_replica === intent.owner_replica
  )
}

const idsText = (ids: readonly (string | null)[]): string => (ids.length === 0 ? '[]' : JSON.stringify(ids))
