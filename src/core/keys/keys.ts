import type { VisibleTenants } from '../access/principal.ts'
import type { Clock } from '../clock.ts'
import type { IdSource } from '../ids.ts'
import type { Refusal, Refused } from '../refusal.ts'
import { patternProblem, patternsMax } from './allowed-models.ts'
import type { UnpricedPolicy } from './caller.ts'
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
  /** For good. Revoking a revoked key changes nothing and is fine. */
  revoke(id: string, actor: Actor): Promise<{ ok: true; key: Key } | Refused>
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
  /** Told after the change is committed, so that caches here and on other replicas let go of the key. */
  changed(keyId: string): void
}

export const keyPageMax = 100
const tagsMax = 64
const tagLengthMax = 200
const nameLengthMax = 100
const descriptionLengthMax = 2_000

export function createKeys({ store, digester, clock, newId, changed }: KeysDeps): Keys {
  const change = async (id: string, actor: Actor, action: 'key.revoke' | 'key.enable' | 'key.disable') => {
    const outcome = await store.change({ id, action, actor, auditId: newId(clock.nowMs()) })
    if (!outcome.ok) return refused(outcome)
    if (outcome.changed) changed(id)
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
      if (!outcome.ok) return refused(outcome)
      changed(outcome.key.id)
      return { ok: true, key: outcome.key, secret }
    },
    get: (id) => store.get(id),
    getMany: (ids) => store.getMany(ids),
    findByName: (name) => store.findByName(name),
    list: (query) => store.list({ ...query, limit: Math.min(Math.max(query.limit, 1), keyPageMax) }),
    revoke: (id, actor) => change(id, actor, 'key.revoke'),
    setEnabled: (id, enabled, actor) => change(id, actor, enabled ? 'key.enable' : 'key.disable'),
  }
}

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

const refused = ({ refusal }: { refusal: Refusal }): Refused => ({ ok: false, refusals: [refusal] })
