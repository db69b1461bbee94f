import { hash } from 'node:crypto'
import { GatewayError } from '../errors.ts'
import type { Operation } from '../inference/call.ts'
import { allowedModelsOf } from '../keys/allowed-models.ts'
import type { Caller } from '../keys/caller.ts'
import { getModel, usableNames } from './listed-models.ts'
import { canServe, mayReach, resolveModel, targetsAllowed } from './resolve-model.ts'
import { type ComparableName, comparable, similarNames } from './similar-names.ts'
import type { AliasEntry, AliasTarget, ModelEntry, ProviderEntry, RoutingSnapshot } from './snapshot.ts'

/** One upstream that could serve the call. */
export interface Candidate {
  readonly provider: ProviderEntry
  /** The upstream's name of the model. */
  readonly model: string
  /** Undefined when the catalog does not know the model, which the provider passes on nevertheless. */
  readonly entry: ModelEntry | undefined
  /** The alias it was reached through. */
  readonly alias: string | undefined
}

/**
 * Which upstreams could serve a call, in the order in which to try them. Pure but for `random`.
 *
 * @param requestedModel - as the client named it
 * @param random - from 0 up to 1; decides among targets of one priority, where the alias is not sticky
 * @param stickyValue - what the call has of what the alias goes by
 * @returns at least one candidate
 * @throws GatewayError `model_not_found`, or `model_not_allowed` when the key may not use what the name stands for
 */
export function route(
  snapshot: RoutingSnapshot,
  caller: Caller,
  requestedModel: string,
  operation: Operation,
  random: () => number = Math.random,
  stickyValue: (sticky: string) => string | undefined = () => undefined,
): readonly Candidate[] {
  const resolved = resolveModel(snapshot, requestedModel)
  switch (resolved.kind) {
    case 'alias':
      return routeAlias(resolved.alias, caller, operation, random, stickyValue)
    case 'target': {
      if (!mayReach(allowedModelsOf(caller), resolved, resolved.isBare)) throw notAllowed(requestedModel)
      const candidate = candidateOf(resolved, undefined)
      if (!canServe(candidate.entry, operation)) throw wrongOperation(requestedModel, operation)
      return [candidate]
    }
    case 'ambiguous': {
      const allowed = allowedModelsOf(caller)
      const usable = resolved.providers.filter((provider) =>
        mayReach(allowed, { provider, model: resolved.model }, true),
      )
      if (usable.length === 0) throw notAllowed(requestedModel)
      throw ambiguous(resolved.model, usable)
    }
    case 'disabled':
      throw new GatewayError('model_not_found', `The provider ${quoted(resolved.providerName)} is disabled.`, atModel)
    case 'unknown':
      throw unknown(snapshot, caller, requestedModel)
  }
}

function routeAlias(
  alias: AliasEntry,
  caller: Caller,
  operation: Operation,
  random: () => number,
  stickyValue: (sticky: string) => string | undefined,
): readonly Candidate[] {
  if (alias.targets.length === 0) {
    throw new GatewayError('model_not_found', `The alias ${quoted(alias.name)} has no enabled target.`, atModel)
  }
  const allowed = targetsAllowed(allowedModelsOf(caller), alias)
  if (allowed.length === 0) throw notAllowed(alias.name)
  const candidates: Candidate[] = []
  for (const target of allowed.length === 1 ? allowed : inOrder(alias, allowed, random, stickyValue)) {
    const candidate = candidateOf(target, alias.name)
    if (canServe(candidate.entry, operation)) candidates.push(candidate)
  }
  if (candidates.length === 0) throw wrongOperation(alias.name, operation)
  return candidates
}

const candidateOf = (
  { provider, model }: { provider: ProviderEntry; model: string },
  alias: string | undefined,
): Candidate => ({ provider, model, entry: provider.findModel(model), alias })

function inOrder(
  { name, settings: { sticky } }: AliasEntry,
  targets: readonly AliasTarget[],
  random: () => number,
  stickyValue: (sticky: string) => string | undefined,
): readonly AliasTarget[] {
  const value = sticky === undefined ? undefined : stickyValue(sticky)
  return value === undefined ? shuffled(targets, random) : ranked(targets, `${name}\n${value}`)
}

/**
 * The same order for the same value, with each target first as often as its weight says (weighted rendezvous hashing):
 * a target that comes or goes moves only those whose first it becomes or was.
 */
function ranked(targets: readonly AliasTarget[], value: string): AliasTarget[] {
  const scored = targets.map((target) => {
    const digest = hash('sha256', `${value}\n${target.provider.name}/${target.model}`, 'buffer')
    const share = (digest.readUIntBE(0, 6) + 1) / (2 ** 48 + 1)
    return { target, score: target.weight === 0 ? Number.POSITIVE_INFINITY : -Math.log(share) / target.weight }
  })
  scored.sort((a, b) => a.target.priority - b.target.priority || (a.score < b.score ? -1 : a.score > b.score ? 1 : 0))
  return scored.map(({ target }) => target)
}

/**
 * Draws the targets of each priority one after the other, each with the chance its weight gives it among those left.
 * A weight of 0 is never drawn before another: a target that takes no share and still catches what falls.
 *
 * @param targets - ordered by priority
 */
function shuffled(targets: readonly AliasTarget[], random: () => number): AliasTarget[] {
  const order = [...targets]
  for (let place = 0; place < order.length - 1; place++) {
    const { priority } = order[place] as AliasTarget
    let end = place
    let total = 0
    for (; order[end]?.priority === priority; end++) total += (order[end] as AliasTarget).weight
    if (end - place < 2) continue
    let left = random() * total
    let drawn = place
    while (drawn < end - 1 && left >= (order[drawn] as AliasTarget).weight) {
      left -= (order[drawn] as AliasTarget).weight
      drawn++
    }
    const [target] = order.splice(drawn, 1) as [AliasTarget]
    order.splice(place, 0, target)
  }
  return order
}

const atModel = { param: 'model' } as const

const notAllowed = (name: string): GatewayError =>
  new GatewayError(
    'model_not_allowed',
    `This API key may not use the model ${quoted(name)}. GET /v1/models lists what it may use.`,
    atModel,
  )

const wrongOperation = (name: string, operation: Operation): GatewayError =>
  new GatewayError(
    'model_not_found',
    `The model ${quoted(name)} does not do ${operation === 'chat' ? 'chat completions' : 'embeddings'}.`,
    atModel,
  )

const ambiguous = (model: string, providers: readonly ProviderEntry[]): GatewayError =>
  new GatewayError(
    'model_not_found',
    `Several providers serve ${quoted(model)}. Name one of them: ${listed(providers.map(({ name }) => `${name}/${model}`))}.`,
    atModel,
  )

function unknown(snapshot: RoutingSnapshot, caller: Caller, name: string): GatewayError {
  const similar = similarNames(
    name,
    comparableNames(snapshot),
    (each) => getModel(snapshot, caller, each) !== undefined,
  )
  const hint = similar.length > 0 ? ` Did you mean ${listed(similar)}?` : ''
  return new GatewayError(
    'model_not_found',
    `There is no model ${quoted(name)}.${hint} GET /v1/models lists what this API key may use.`,
    atModel,
  )
}

/** A memo and not state: what a snapshot holds never changes. */
const namesBySnapshot = new WeakMap<RoutingSnapshot, ComparableName[]>()

function comparableNames(snapshot: RoutingSnapshot): ComparableName[] {
  let names = namesBySnapshot.get(snapshot)
  if (!names) {
    names = Array.from(usableNames(snapshot, undefined), comparable)
    namesBySnapshot.set(snapshot, names)
  }
  return names
}

const listed = (names: readonly string[]): string => names.slice(0, 5).map(quoted).join(', ')

/** Clients choose these names, so they are cut and lose what could garble a terminal or a log. */
const quoted = (name: string): string => `"${name.slice(0, 200).replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '?')}"`
