import type { Clock } from '../core/clock.ts'
import type { Actor, Key, KeyDraft, Keys } from '../core/keys/keys.ts'
import { keyPageMax, keyState } from '../core/keys/keys.ts'
import type { Refused } from '../core/refusal.ts'

/** What the `llmgw keys` commands need; the command line itself is read elsewhere. */
export interface KeyCommandsDeps {
  keys: Keys
  clock: Clock
  actor: Actor
  /** Takes whole lines, without the line break. */
  print(line: string): void
}

export interface CreateKeyOptions {
  name: string
  /** Comma-separated patterns. */
  models?: string | undefined
  /** A span such as `30d`, or a date and time in ISO 8601. */
  expires?: string | undefined
  /** `key=value`, each. */
  tag?: readonly string[] | undefined
  /** A slug; the default organization when absent. */
  organization?: string | undefined
  team?: string | undefined
  json?: boolean | undefined
}

/** What the user got wrong, as a sentence to print before exiting with status 1. */
export class KeyCommandError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'KeyCommandError'
  }
}

/** @throws KeyCommandError */
export async function createKey(deps: KeyCommandsDeps, options: CreateKeyOptions): Promise<void> {
  const { keys, clock, actor, print } = deps
  const draft: KeyDraft = {
    name: options.name,
    allowedModels: options.models === undefined ? undefined : patternsOf(options.models),
    expiresAtMs: options.expires === undefined ? undefined : expiryOf(options.expires, clock.nowMs()),
    tags: tagsOf(options.tag ?? []),
    organization: options.organization === undefined ? undefined : { slug: options.organization },
    team: options.team === undefined ? undefined : { slug: options.team },
  }
  const created = await keys.create(draft, actor)
  if (!created.ok) throw refusedError(created)
  const { key, secret } = created
  if (options.json) {
    print(JSON.stringify({ ...jsonOf(key, clock.nowMs()), secret }))
    return
  }
  print(`Created the key "${key.name}" (${key.id}).`)
  print('')
  print(`  ${secret}`)
  print('')
  print('This is the only time the secret is shown: it is not stored, so put it where it will be used now.')
}

/** Every key, the newest first. */
export async function listKeys(
  { keys, clock, print }: KeyCommandsDeps,
  options: { json?: boolean } = {},
): Promise<void> {
  const all: Key[] = []
  let after: Parameters<Keys['list']>[0]['after']
  do {
    const page = await keys.list({ after, limit: keyPageMax })
    all.push(...page.keys)
    after = page.next
  } while (after)
  const nowMs = clock.nowMs()
  if (options.json) {
    print(JSON.stringify(all.map((key) => jsonOf(key, nowMs))))
    return
  }
  if (all.length === 0) {
    print('There are no keys yet. Make one with: llmgw keys create --name NAME')
    return
  }
  for (const line of tableOf(
    headings,
    all.map((key) => rowOf(key, nowMs)),
  ))
    print(line)
}

/**
 * @param idOrName - a name must belong to one live key only
 * @throws KeyCommandError
 */
export async function revokeKey(
  { keys, clock, actor, print }: KeyCommandsDeps,
  idOrName: string,
  { terminate = false }: { terminate?: boolean } = {},
): Promise<void> {
  const key = await keyNamed(keys, idOrName, clock.nowMs())
  const revoked = await keys.revoke(key.id, actor, { terminate })
  if (!revoked.ok) throw refusedError(revoked)
  const calls = terminate ? ', and end its calls' : ''
  print(`Revoked the key "${key.name}" (${key.id}). Running gateways refuse it within 5 seconds${calls}.`)
}

/**
 * Prints another secret for a key, once.
 *
 * @param idOrName - a name must belong to one live key only
 * @throws KeyCommandError
 */
export async function rotateKey(
  { keys, clock, actor, print }: KeyCommandsDeps,
  idOrName: string,
  { overlap = '1d', json = false }: { overlap?: string; json?: boolean } = {},
): Promise<void> {
  const nowMs = clock.nowMs()
  const key = await keyNamed(keys, idOrName, nowMs)
  const rotated = await keys.rotate(key.id, overlap === '0' ? 0 : expiryOf(overlap, nowMs) - nowMs, actor)
  if (!rotated.ok) throw refusedError(rotated)
  const { previousUntilMs } = rotated.key
  if (json) {
    const previousUntil = previousUntilMs === undefined ? null : new Date(previousUntilMs).toISOString()
    print(JSON.stringify({ id: key.id, secret: rotated.secret, previousSecretUntil: previousUntil }))
    return
  }
  print(rotated.secret)
  print(
    previousUntilMs === undefined
      ? `The secret of "${key.name}" (${key.id}) from before has ended. The new one is shown only now.`
      : `The secret of "${key.name}" (${key.id}) from before goes on until ${timeOf(previousUntilMs)}. The new one is shown only now.`,
  )
}

export async function keyNamed(keys: Keys, idOrName: string, nowMs: number): Promise<Key> {
  const isId = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i.test(idOrName)
  const byId = isId ? await keys.get(idOrName) : undefined
  if (byId) return byId
  const named = await keys.findByName(idOrName)
  const live = named.filter((key) => keyState(key, nowMs) !== 'revoked')
  const [key, another] = live.length > 0 ? live : named
  if (!key) throw new KeyCommandError(`There is no key "${idOrName}". List them with: llmgw keys list`)
  if (another && live.length > 0) {
    const choices = live.map(({ id, organization, last4 }) => `  ${id}  ${organization.slug}  …${last4}`)
    throw new KeyCommandError(`Several keys are named "${idOrName}". Name one by its id:\n${choices.join('\n')}`)
  }
  return key
}

const headings = ['ID', 'NAME', 'KEY', 'STATE', 'ORGANIZATION', 'MODELS', 'EXPIRES', 'CREATED', 'TAGS']

function rowOf(key: Key, nowMs: number): string[] {
  return [
    key.id,
    key.name,
    `${key.displayPrefix}…${key.last4}`,
    keyState(key, nowMs),
    key.team ? `${key.organization.slug}/${key.team.slug}` : key.organization.slug,
    key.allowedModels === undefined ? 'all' : key.allowedModels.join(',') || 'none',
    key.expiresAtMs === undefined ? 'never' : timeOf(key.expiresAtMs),
    timeOf(key.createdAtMs),
    Object.entries(key.tags)
      .map(([name, value]) => `${name}=${value}`)
      .join(','),
  ]
}

export function tableOf(head: readonly string[], rows: readonly string[][]): string[] {
  const widths = head.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => (row[column] ?? '').length)),
  )
  return [head, ...rows].map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

function jsonOf(key: Key, nowMs: number): Record<string, unknown> {
  return {
    id: key.id,
    name: key.name,
    displayPrefix: key.displayPrefix,
    last4: key.last4,
    state: keyState(key, nowMs),
    organization: key.organization.slug,
    team: key.team?.slug ?? null,
    allowedModels: key.allowedModels ?? null,
    expiresAt: key.expiresAtMs === undefined ? null : new Date(key.expiresAtMs).toISOString(),
    createdAt: new Date(key.createdAtMs).toISOString(),
    tags: key.tags,
  }
}

/** To the minute, UTC: enough to read, and the JSON has the rest. */
const timeOf = (ms: number): string => `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')}Z`

function patternsOf(models: string): string[] {
  const patterns = models
    .split(',')
    .map((pattern) => pattern.trim())
    .filter((pattern) => pattern !== '')
  if (patterns.length > 0) return patterns
  throw new KeyCommandError('--models names no model. Leave it out to allow all of them.')
}

const unitMs = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 7 * 86_400_000, y: 365 * 86_400_000 } as const

function expiryOf(text: string, nowMs: number): number {
  const span = /^(\d{1,6})([mhdwy])$/.exec(text)
  if (span) return nowMs + Number(span[1]) * unitMs[span[2] as keyof typeof unitMs]
  // Date.parse alone takes almost anything ("5" is a year, "may" a month), which is no way to end a key.
  const isIso = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2}))?$/.test(text)
  const ms = isIso ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(ms)) return ms
  throw new KeyCommandError(`"${text}" is no expiry. Use a span (90m, 12h, 30d, 8w, 1y) or a date such as 2027-01-31.`)
}

function tagsOf(tags: readonly string[]): Record<string, string> {
  const parsed = new Map<string, string>()
  for (const tag of tags) {
    const at = tag.indexOf('=')
    if (at < 1) throw new KeyCommandError(`"${tag}" is no tag. Use --tag KEY=VALUE.`)
    parsed.set(tag.slice(0, at), tag.slice(at + 1))
  }
  return Object.fromEntries(parsed)
}

function refusedError({ refusals }: Refused): KeyCommandError {
  return new KeyCommandError(refusals.map(({ message }) => message).join('\n'))
}
