import { headerCredential } from '../core/providers/credentials.ts'
import { type Refused, refused } from '../core/refusal.ts'
import type { CheckAlias, ProviderDraft, ReadProvider } from '../core/routing/managed-routing.ts'
import type { AddressGuard } from '../core/upstream/address-guard.ts'
import { hostProblem } from './cross-checks.ts'
import { modelsOfDemo } from './declared-from-file.ts'
import { aliasSchema } from './model-schema.ts'
import { type ConfigProblem, parseWithProblems } from './problem.ts'
import { contentOf, providerSchema } from './provider-schema.ts'

/** What administrators say of routing is read by the same schemas as the file: neither can store what the other could not. */
export function createManagedReaders(guard: AddressGuard): { readProvider: ReadProvider; checkAlias: CheckAlias } {
  return {
    readProvider(draft) {
      const host = hostProblem(draft.baseUrl, guard)
      if (host) return refused('invalid', `baseUrl ${host}`, 'baseUrl')
      const parsed = parseWithProblems(providerSchema, recordOf(draft))
      if (!parsed.ok) return refusedFor(parsed.problems, providerPath)
      const models = parsed.value.type === 'demo' ? modelsOfDemo : []
      return { ok: true, provider: { ...contentOf(parsed.value), timeouts: parsed.value.timeouts }, models }
    },
    checkAlias({ name, description, targets, settings }) {
      const parsed = parseWithProblems(aliasSchema, {
        name,
        description,
        // Providers are named by id here, and looked for in the database.
        targets: targets.map(({ providerId: _providerId, ...target }) => ({ provider: 'any', ...target })),
        ...settings,
      })
      return parsed.ok ? undefined : refusedFor(parsed.problems, (path) => path)
    },
  }
}

/** As it would stand in the file. */
function recordOf({ settings, credentials, timeouts, ...draft }: ProviderDraft): object {
  const headers = Object.entries(credentials).filter(([field]) => field.startsWith(headerPrefix))
  const own = Object.entries(credentials).filter(([field]) => !field.startsWith(headerPrefix))
  const { anthropicBeta, credentialsFile: _credentialsFile, ...others } = settings
  // What is not there must not look like a field that the type does not know.
  const given = Object.entries({ ...draft, ...others }).filter(([, value]) => value !== undefined)
  return {
    ...Object.fromEntries(given),
    ...(Array.isArray(anthropicBeta) && { anthropicBeta }),
    // Stored in one text, as it is sent.
    ...(typeof anthropicBeta === 'string' && { anthropicBeta: anthropicBeta.split(',') }),
    timeouts,
    ...(own.length > 0 && { credentials: Object.fromEntries(own) }),
    ...(headers.length > 0 && {
      headers: Object.fromEntries(headers.map(([field, value]) => [field.slice(headerPrefix.length), value])),
    }),
  }
}

const headerPrefix = headerCredential('')

const commonFields: readonly string[] = ['name', 'type', 'baseUrl', 'enabled', 'passthroughModels', 'timeouts']

/** Where it stands in the input of the admin API. */
function providerPath([first = '', ...rest]: string[]): string[] {
  if (first === 'credentials' || first === 'headers') return ['credentials', ...rest]
  return commonFields.includes(first) ? [first, ...rest] : ['settings', first, ...rest]
}

const refusedFor = (problems: readonly ConfigProblem[], pathOf: (path: string[]) => string[]): Refused => ({
  ok: false,
  refusals: problems.map(({ path, message }) => ({
    code: 'invalid',
    message: `${path} ${message}`,
    path: pathOf(path.split(/[.[\]"]+/).filter((part) => part !== '')),
  })),
})
