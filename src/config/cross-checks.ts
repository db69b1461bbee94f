import { Secret } from '../core/secret.ts'
import type { AddressGuard } from '../core/upstream/address-guard.ts'
import type { ConfigProblem } from './problem.ts'
import { baseUrlOf } from './schema-fields.ts'
import { checkScopes } from './scope-checks.ts'
import { itemsOf, memberOf, repeated, textOf } from './unchecked-content.ts'

export interface CrossCheckContext {
  guard: AddressGuard
  /** Providers that exist beside the file's. */
  otherProviders: readonly string[]
  /** Stands in while the file declares no provider. */
  builtinProvider: string
}

/**
 * What no single field can tell: names that stand twice or point nowhere, and hosts that may not be reached. Takes the
 * file before its fields are checked and skips what is not of the expected kind, so that one report has all problems.
 */
export function crossCheck(
  content: unknown,
  { guard, otherProviders, builtinProvider }: CrossCheckContext,
): ConfigProblem[] {
  const providers = itemsOf(content, 'providers')
  const models = itemsOf(content, 'models')
  const aliases = itemsOf(content, 'aliases')
  const keys = itemsOf(content, 'keys')
  const declaredNames = providers.flatMap(({ item }) => textOf(item, 'name') ?? [])
  const providerNames = new Set([
    ...declaredNames,
    ...otherProviders,
    ...(providers.length === 0 ? [builtinProvider] : []),
  ])
  const known = [...providerNames].sort().join(', ')

  const problems = [providers, aliases, keys].flatMap((items) =>
    repeated(items, 'name', (item) => textOf(item, 'name')),
  )
  const report = (path: string, message: string): void => {
    problems.push({ path, message })
  }
  problems.push(
    ...repeated(models, 'name', (item) => pairOf(textOf(item, 'provider'), textOf(item, 'name'))),
    ...repeated(keys, 'secret', (item) => secretOf(item)),
    ...checkScopes(content),
  )
  for (const { path, item } of providers) {
    const message = hostProblem(textOf(item, 'baseUrl'), guard)
    if (message) report(`${path}.baseUrl`, message)
  }
  const catalogProblem = hostProblem(textOf(memberOf(content, 'catalog'), 'url'), guard)
  if (catalogProblem) report('catalog.url', catalogProblem)
  const issuer = textOf(memberOf(memberOf(content, 'adminSignIn'), 'oidc'), 'issuer')
  const issuerProblem = hostProblem(issuer, guard)
  if (issuerProblem) report('adminSignIn.oidc.issuer', issuerProblem)

  const checkProvider = (path: string, item: unknown): void => {
    const name = textOf(item, 'provider')
    if (name === undefined || providerNames.has(name)) return
    report(`${path}.provider`, `names no provider; expected ${known}`)
  }
  for (const { path, item } of models) checkProvider(path, item)
  for (const { path, item } of aliases) {
    const name = textOf(item, 'name') ?? ''
    if (providerNames.has(name)) report(`${path}.name`, 'is the name of a provider, too; expected another one')
    const slash = name.indexOf('/')
    if (slash > 0 && providerNames.has(name.slice(0, slash))) {
      report(`${path}.name`, 'reads as a model of a provider (provider/model); expected another name')
    }
    const targets = itemsOf(item, 'targets', `${path}.`)
    for (const target of targets) checkProvider(target.path, target.item)
    problems.push(
      ...repeated(targets, 'model', (target) => pairOf(textOf(target, 'provider'), textOf(target, 'model'))),
    )
  }
  return problems
}

/** @returns why an upstream may not be reached there; undefined also when the URL is not one, which its field reports */
export function hostProblem(text: string | undefined, guard: AddressGuard): string | undefined {
  const url = text === undefined ? undefined : baseUrlOf(text)
  if (!url) return undefined
  const { protocol, hostname, port } = url
  // Names are checked when they are resolved, at each connect.
  const reason = guard.targetRefusal({ protocol, hostname, port: port ? Number(port) : undefined })
  // What is wrong with a setting is told without a full stop.
  return reason?.replace(/\.$/, '')
}

function secretOf(key: unknown): string | undefined {
  const value = memberOf(key, 'secret')
  return value instanceof Secret ? value.reveal() : textOf(key, 'secret')
}

const pairOf = (first: string | undefined, second: string | undefined): string | undefined =>
  first === undefined || second === undefined ? undefined : JSON.stringify([first, second])
