import type { ProviderType } from '../core/providers/provider.ts'
import type { ListedProvider } from '../core/routing/listed-providers.store.ts'
import { Secret } from '../core/secret.ts'
import { credentialOrigin } from '../core/secrets/credential-origin.ts'
import type { CredentialStore } from '../core/secrets/provider-credentials.store.ts'
import { tableOf } from './keys.ts'

export interface ListProvidersDeps {
  list(): Promise<ListedProvider[]>
  /** Takes whole lines, without the line break. */
  print(line: string): void
}

/** Every provider the database knows, with what it is called by; never a secret. */
export async function listProvidersCommand(
  { list, print }: ListProvidersDeps,
  options: { json?: boolean } = {},
): Promise<void> {
  const providers = await list()
  if (options.json) {
    print(JSON.stringify(providers.map(jsonOf)))
    return
  }
  if (providers.length === 0) {
    print('There are no providers yet: declare one in the config file, or set a variable such as OPENAI_API_KEY.')
    return
  }
  for (const line of tableOf(
    ['NAME', 'TYPE', 'STATE', 'MANAGED BY', 'BASE URL', 'CREDENTIALS'],
    providers.map(rowOf),
  )) {
    print(line)
  }
}

const rowOf = (provider: ListedProvider): string[] => [
  provider.name,
  provider.type,
  provider.enabled ? 'enabled' : 'disabled',
  provider.managedBy,
  provider.baseUrl ?? '-',
  credentialsOf(provider)
    .map(({ field, last4, usable }) => `${field}${last4 ? `=…${last4}` : ''}${usable ? '' : ' (of another address)'}`)
    .join(', ') || 'none',
]

const jsonOf = (provider: ListedProvider): object => ({
  name: provider.name,
  type: provider.type,
  managedBy: provider.managedBy,
  enabled: provider.enabled,
  baseUrl: provider.baseUrl,
  credentials: credentialsOf(provider),
})

interface ShownCredential {
  field: string
  last4: string | null
  /** False for one that was entered for another address than the provider has now. */
  usable: boolean
}

function credentialsOf({ type, baseUrl, settings, managedBy, credentials }: ListedProvider): ShownCredential[] {
  if (managedBy !== 'admin') {
    const { credentialFields } = settings
    const fields: unknown[] = Array.isArray(credentialFields) ? credentialFields : []
    return fields.map((field) => ({ field: String(field), last4: null, usable: true }))
  }
  const origin = credentialOrigin({ type: type as ProviderType, baseUrl, settings })
  return credentials.map((stored) => ({ field: stored.field, last4: stored.last4, usable: stored.origin === origin }))
}

export interface SetCredentialDeps {
  list(): Promise<ListedProvider[]>
  store: CredentialStore
  /** What is wrong with a value for this field, in words that do not repeat it; undefined when nothing is. */
  problemOf(type: ProviderType, field: string, text: string): string | undefined
  /** Reads the secret from where it is not seen: never an argument, which every process list shows. */
  readSecret(): Promise<string>
  print(line: string): void
  tell(line: string): void
}

/** @returns the exit status: 0 when the credential is stored */
export async function setCredentialCommand(deps: SetCredentialDeps, name: string, field: string): Promise<0 | 1> {
  const provider = (await deps.list()).find((each) => each.name === name)
  // Before the secret is asked for, what can be known without it.
  if (provider) {
    const unknown = deps.problemOf(provider.type as ProviderType, field, 'x')
    if (unknown?.startsWith('is no credential')) return failed(deps, `${field} ${unknown}`)
  }
  const text = await deps.readSecret()
  if (text === '') return failed(deps, 'There is no secret on the standard input.')
  const problem = provider && deps.problemOf(provider.type as ProviderType, field, text)
  if (problem !== undefined) return failed(deps, `${field}: ${problem}`)
  const outcome = await deps.store.put({
    provider: name,
    field,
    secret: new Secret(text),
    actor: { kind: 'operator', id: undefined },
  })
  if (!outcome.ok) return failed(deps, outcome.message)
  deps.print(
    `${outcome.existed ? 'Replaced' : 'Stored'} the credential ${field} of ${name}, for ${outcome.origin} only.`,
  )
  deps.print(`Running gateways use it within seconds. Try it with: llmgw providers test ${name}`)
  return 0
}

function failed({ tell }: SetCredentialDeps, message: string): 1 {
  tell(message)
  return 1
}
