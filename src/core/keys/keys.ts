import type { VisibleTenants } from '../access/principal.ts'
import type { Clock } from '../clock.ts'
import type { IdSource } from '../ids.ts'
import { type Refusal, type Refused, refused } from '../refusal.ts'
import { patternProblem, patternsMax } from './allowed-models.ts'
import type { UnpricedPolicy } from './caller.ts'
import type { KeyAction } from './key-changes.store.ts'
import type { KeyDigester } from './key-digest.ts'
import { classifySecret, displayOf, generateSecret } from './key-format.ts'
import type { KeyStore } from './keys.store.ts'

/** Making, listing and ending virtual keys: the rules. Every change is audited in its own transaction. */
export interface Keys {
  /** The secret is in the result and nowhere else: it cannot be read again. */
  create(draft: KeyDraft, actor: Actor): Promise<{ ok: true; key: Key; secret: string } | Refused>
  get(id: string): Promise<Key | undefined>
  /** Those that there are, in any order. */
  getMany(ids: readonly string[]): Promise<Key[]>
  /** Exact name, the newest first, revoked ones included; at most 100. */
  findByName(name: string): Promise<Key[]>
  /** The newest first. */
  list(query: KeyQuery): Promise<KeyPage>
  /** What the patch does not name stays. */
  update(id: string, patch: KeyPatch, actor: Actor): Promise<{ ok: true; key: Key } | Refused>
  /**
   * Gives a key another secret, which is in the result and nowhere else.
   *
   * @param overlapMs - for so long the one before goes on; one from before that ends at once
   */
  rotate(id: string, overlapMs: number, actor: Actor): Promise<{ ok: true; key: Key; secret: string } | Refused>
  /** For good. Revoking a revoked key changes nothing and is fine. @param terminate - ends its calls under way, too */
  revoke(id: string, actor: Actor, options?: { terminate?: boolean }): Promise<{ ok: true; key: Key } | Refused>
  /** A disabled key is refused like a revoked one until it is enabled again. */
  setEnabled(id: string, enabled: boolean, actor: Actor): Promise<{ ok: true; key: Key } | Refused>
}

export interface Key {
  id: string
  name: string
  organization: Tenant
  team: Tenant | undefined
  displayPrefix: string
  last4: string
  enabled: boolean
  /** See `allowed-models.ts`; undefined allows every model. */
  allowedModels: readonly string[] | undefined
  unpricedPolicy: UnpricedPolicy | undefined
  /** Milliseconds since the epoch, as all times here. */
  expiresAtMs: number | undefined
  revokedAtMs: number | undefined
  createdAtMs: number
  managedBy: ManagedBy
  description: string | undefined
  tags: Readonly<Record<string, string>>
  /** Anything, as JSON; shown and not acted on. */
  metadata: Readonly<Record<string, unknown>>
  /** How long the secret before the current one goes on; undefined when there was none. */
  previousUntilMs: number | undefined
  /** Its calls were ended when it was revoked. */
  endsCalls: boolean
}

export interface Tenant {
  id: string
  slug: string
}

export type TenantReference = { id: string } | { slug: string }

export type ManagedBy = 'system' | 'file' | 'admin' | 'operator'

/** Who changes something; `operator` is whoever runs the command line. */
export interface Actor {
  kind: 'admin_user' | 'admin_token' | 'operator' | 'file' | 'system'
  id: string | undefined
  /** The admin request it happened in. */
  requestId?: string | undefined
  /** Chosen by whoever asks: what was changed under it once is not changed again. */
  idempotencyKey?: string | undefined
}

export interface KeyDraft {
  name: string
  /** Brought along by the operator; generated when absent. */
  secret?: string | undefined
  /** The default organization when absent. */
  organization?: TenantReference | undefined
  team?: TenantReference | undefined
  allowedModels?: readonly string[] | undefined
  unpricedPolicy?: UnpricedPolicy | undefined
  expiresAtMs?: number | undefined
  description?: string | undefined
  tags?: Readonly<Record<string, string>> | undefined
  metadata?: Readonly<Record<string, unknown>> | undefined
}

/** What is undefined stays; null is none. */
export interface KeyPatch {
  name?: string | undefined
  allowedModels?: readonly string[] | null | undefined
  unpricedPolicy?: UnpricedPolicy | null | undefined
  expiresAtMs?: number | null | undefined
  description?: string | null | undefined
  tags?: Readonly<Record<string, string>> | undefined
  metadata?: Readonly<Record<string, unknown>> | undefined
}

export interface KeyQuery {
  /** Whose keys may be seen; undefined for all. */
  visible?: VisibleTenants | undefined
  organizationId?: string | undefined
  teamId?: string | undefined
  /** Literal text within the name. */
  search?: string | undefined
  tag?: { key: string; value: string } | undefined
  /** Where the page before ended. */
  after?: KeyCursor | undefined
  /** From 1 to 100. */
  limit: number
}

export interface KeyCursor {
  /** As PostgreSQL writes it, for a timestamp is finer than a millisecond. */
  createdAt: string
  id: string
}

export interface KeyPage {
  keys: Key[]
  /** Where a page would begin after each of them. */
  cursors: KeyCursor[]
  /** Undefined on the last page. */
  next: KeyCursor | undefined
}

export interface KeysDeps {
  store: KeyStore
  digester: KeyDigester
  clock: Clock
  newId: IdSource
  /** Told after the change is committed, so that caches here and on other replicas let go of the key, and of its calls. */
  changed(keyId: string, how: { endsCalls: boolean }): void
}

export const keyPageMax = 100
const overlapMsMax = 30 * 24 * 3_600_000
const metadataLengthMax = 16_384
const tagsMax = 64
const tagLengthMax = 200
const nameLengthMax = 100
const descriptionLengthMax = 2_000

export function createKeys({ store, digester, clock, newId, changed }: KeysDeps): Keys {
  const change = async (id: string, actor: Actor, action: KeyAction) => {
    const outcome = await store.change({ id, action, actor, auditId: newId(clock.nowMs()) })
    if (!outcome.ok) return refusedOf(outcome)
    // Also when it was done before: whoever ends calls again may have reason to.
    const endsCalls = action === 'key.terminate'
    if (outcome.changed || endsCalls) changed(id, { endsCalls })
    return { ok: true as const, key: outcome.key }
  }
  return {
    async create(draft, actor) {
      const problems = problemsOf(draft, clock.nowMs())
      if (problems.length > 0) return { ok: false, refusals: problems }
      const secret = draft.secret ?? generateSecret()
      const nowMs = clock.nowMs()
      const outcome = await store.insert({
        id: newId(nowMs),
        auditId: newId(nowMs),
        organizationId: newId(nowMs),
        draft,
        digests: digester.digests(secret),
        display: displayOf(secret),
        managedBy: managedByOf(actor),
        actor,
      })
      if (!outcome.ok) return refusedOf(outcome)
      changed(outcome.key.id, { endsCalls: false })
      return { ok: true, key: outcome.key, secret }
    },
    get: (id) => store.get(id),
    getMany: (ids) => store.getMany(ids),
    findByName: (name) => store.findByName(name),
    list: (query) => store.list({ ...query, limit: Math.min(Math.max(query.limit, 1), keyPageMax) }),
    async update(id, patch, actor) {
      const problems = problemsOf({ ...patched, ...withoutNulls(patch) }, clock.nowMs())
      if (problems.length > 0) return { ok: false, refusals: problems }
      const outcome = await store.update({ id, patch, actor, auditId: newId(clock.nowMs()) })
      if (!outcome.ok) return refusedOf(outcome)
      if (outcome.changed) changed(id, { endsCalls: false })
      return { ok: true, key: outcome.key }
    },
    async rotate(id, overlapMs, actor) {
      if (!(overlapMs >= 0 && overlapMs <= overlapMsMax)) {
        return refused('invalid', `The overlap is from 0 to ${overlapMsMax / 1_000} seconds.`, 'overlapSeconds')
      }
      const secret = generateSecret()
      const outcome = await store.rotate({
        id,
        digests: digester.digests(secret),
        display: displayOf(secret),
        overlapMs,
        actor,
        auditId: newId(clock.nowMs()),
      })
      if (!outcome.ok) return refusedOf(outcome)
      changed(id, { endsCalls: false })
      return { ok: true, key: outcome.key, secret }
    },
    async revoke(id, actor, { terminate = false } = {}) {
      return change(id, actor, terminate ? 'key.terminate' : 'key.revoke')
    },
    setEnabled: (id, enabled, actor) => change(id, actor, enabled ? 'key.enable' : 'key.disable'),
  }
}

/** Stands in for what a patch leaves as it is, and is fine. */
const patched: KeyDraft = { name: 'unchanged' }

const withoutNulls = (patch: KeyPatch): Partial<KeyDraft> =>
  Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== null && value !== undefined))

/** @param nowMs - database time */
export function keyState(key: Key, nowMs: number): 'active' | 'disabled' | 'expired' | 'revoked' {
  if (key.revokedAtMs !== undefined) return 'revoked'
  if (key.expiresAtMs !== undefined && nowMs >= key.expiresAtMs) return 'expired'
  return key.enabled ? 'active' : 'disabled'
}

function problemsOf(draft: KeyDraft, nowMs: number): Refusal[] {
  const problems: Refusal[] = []
  const refuse = (message: string, ...path: string[]): void => {
    problems.push({ code: 'invalid', message, path })
  }
  if (draft.name.trim() !== draft.name || draft.name.length < 1 || draft.name.length > nameLengthMax) {
    refuse(`A key's name has 1 to ${nameLengthMax} characters and no space around it.`, 'name')
  } else if (hasControlCharacters(draft.name)) {
    refuse("A key's name must not have control characters.", 'name')
  }
  const secretClass = draft.secret === undefined ? 'ours' : classifySecret(draft.secret)
  if (secretClass === 'malformed') refuse('A secret has 20 to 200 visible ASCII characters.', 'secret')
  if (secretClass === 'ours-bad-checksum') {
    refuse('The secret starts like one of ours and has a wrong checksum: it was cut or mistyped.', 'secret')
  }
  if (draft.expiresAtMs !== undefined && !(draft.expiresAtMs > nowMs && draft.expiresAtMs <= latestTimeMs)) {
    refuse('A key must expire in the future.', 'expiresAt')
  }
  if ((draft.description?.length ?? 0) > descriptionLengthMax) {
    refuse(`A description has at most ${descriptionLengthMax} characters.`, 'description')
  }
  const patterns = draft.allowedModels ?? []
  if (patterns.length > patternsMax) refuse(`A key has at most ${patternsMax} model patterns.`, 'allowedModels')
  patterns.forEach((pattern, index) => {
    const problem = patternProblem(pattern)
    if (problem) refuse(problem, 'allowedModels', String(index))
  })
  const tags = Object.entries(draft.tags ?? {})
  if (tags.length > tagsMax) refuse(`A key has at most ${tagsMax} tags.`, 'tags')
  for (const [key, value] of tags) {
    if (key.length < 1 || key.length > tagLengthMax || value.length > tagLengthMax) {
      refuse(`A tag's name has 1 to ${tagLengthMax} characters, its value at most ${tagLengthMax}.`, 'tags', key)
    } else if (hasControlCharacters(key) || hasControlCharacters(value)) {
      refuse('A tag must not have control characters.', 'tags', key)
    }
  }
  if (draft.metadata && JSON.stringify(draft.metadata).length > metadataLengthMax) {
    refuse(`Metadata has at most ${metadataLengthMax} characters as JSON.`, 'metadata')
  }
  return problems
}

/** The end of the year 9999: the last that ISO 8601 writes with four digits. */
const latestTimeMs = 253_402_300_799_999

function hasControlCharacters(text: string): boolean {
  return /\p{Cc}/u.test(text)
}

function managedByOf({ kind }: Actor): ManagedBy {
  switch (kind) {
    case 'admin_user':
    case 'admin_token':
      return 'admin'
    default:
      return kind
  }
}

const refusedOf = ({ refusal }: { refusal: Refusal }): Refused => ({ ok: false, refusals: [refusal] })
