import { readFileSync } from 'node:fs'
import { nanoUsd } from '../core/money.ts'
import type { Price } from '../core/pricing/price.ts'
import type { DeclaredConfiguration } from '../core/routing/declared-configuration.ts'
import { Secret } from '../core/secret.ts'
import { createAddressGuard } from '../core/upstream/address-guard.ts'
import { type ReadConfigFile, readConfigFile } from './config-file.ts'
import { crossCheck, hostProblem } from './cross-checks.ts'
import { builtinProviderName, toDeclaredConfiguration } from './declared-from-file.ts'
import {
  type Environment,
  type EnvironmentSettings,
  environmentWarnings,
  parseEnvironment,
  privateUpstreamsOf,
  type ReadFile,
  unknownVariables,
} from './environment.ts'
import { likelyEnvironmentProviders } from './environment-providers.ts'
import { type ConfigFile, fileSchema } from './file-schema.ts'
import { type ConfigProblem, parseWithProblems } from './problem.ts'

/** Everything the process is told, read once, validated and deeply frozen. */
export interface Config {
  readonly settings: EnvironmentSettings
  readonly unpricedModels: ConfigFile['unpricedModels']
  /** Rates for models of unknown price under the policy `estimate`. */
  readonly unpricedEstimate: Price
  readonly limits: Readonly<ConfigFile['limits']>
  readonly catalog: Readonly<ConfigFile['catalog']>
  readonly usage: Readonly<ConfigFile['usage']>
  readonly idempotency: Readonly<ConfigFile['idempotency']>
  readonly adminSignIn: Readonly<ConfigFile['adminSignIn']>
  readonly grpc: Readonly<ConfigFile['grpc']>
  readonly metrics: Readonly<ConfigFile['metrics']>
  /** Providers with their credentials, models, aliases and keys. */
  readonly declared: DeclaredConfiguration
}

export type LoadConfigResult =
  | { ok: true; config: Config; warnings: readonly ConfigProblem[] }
  | { ok: false; problems: readonly ConfigProblem[] }

/** EX_CONFIG of sysexits.h: how the process ends when its configuration cannot be used. */
export const configExitCode = 78

/** @param environment - `process.env`, which nobody else reads */
export function loadConfig(environment: Environment, readFile: ReadFile = readTextFile): LoadConfigResult {
  return createConfigLoader(environment, readFile).load()
}

export interface ConfigLoader {
  load(): LoadConfigResult
  /** As `load`, but with the config file as it was read last: only the files with secrets that it names are read anew. */
  loadSecrets(): LoadConfigResult
  /** Those of `filesRead` that the config file has secrets from. */
  secretFiles(): ReadonlyMap<string, string>
  /** The content of all files read so far, by path, as last read: another process can load the same from it. */
  filesRead(): ReadonlyMap<string, string>
}

/**
 * The environment is read here and then fixed; each `load` reads the config file anew. Secrets in files named by
 * variables (NAME_FILE) belong to the environment.
 */
export function createConfigLoader(environment: Environment, readGiven: ReadFile = readTextFile): ConfigLoader {
  const fixed: Environment = Object.freeze({ ...environment })
  const filesRead = new Map<string, string>()
  const readFile: ReadFile = (path) => {
    const text = readGiven(path)
    filesRead.set(path, text)
    return text
  }
  const parsed = parseEnvironment(fixed, readFile)
  const ofEnvironment = new Set(filesRead.keys())
  const otherProviders = parsed.ok ? parsed.value.providers.map(({ type }) => type) : likelyEnvironmentProviders(fixed)
  const configPath = fixed.LLMGW_CONFIG
  const readButConfig: ReadFile = (path) => (path === configPath && filesRead.get(path)) || readFile(path)
  const loadWith = (read: ReadFile): LoadConfigResult => {
    const file = configPath ? readConfigFile(configPath, fixed, read) : noFile
    const checked = parseWithProblems(fileSchema, file.content ?? {})
    const problems = [
      ...(parsed.ok ? environmentHostProblems(parsed.value) : parsed.problems),
      ...unknownVariables(fixed, file.variables),
      ...fileProblems(file, checked.ok ? [] : checked.problems, fixed, otherProviders),
    ]
    if (problems.length > 0 || !parsed.ok || !checked.ok) return { ok: false, problems }
    return {
      ok: true,
      config: deepFreeze(toConfig(parsed.value, checked.value)),
      warnings: [
        ...environmentWarnings(fixed),
        ...parsed.value.idle,
        ...plainTextWarnings(parsed.value, checked.value),
      ],
    }
  }
  return {
    filesRead: () => new Map(filesRead),
    secretFiles: () => new Map([...filesRead].filter(([path]) => path !== configPath && !ofEnvironment.has(path))),
    load: () => loadWith(readFile),
    loadSecrets: () => loadWith(readButConfig),
  }
}

/** The configuration in force, for an operator to read: JSON, money in nano-dollars as text, secrets as "[secret]". */
export function formatConfig(config: Config): string {
  return JSON.stringify(config, (_name, value) => (typeof value === 'bigint' ? value.toString() : value), 2)
}

/** Within one machine nobody listens in. */
function plainTextWarnings({ host }: EnvironmentSettings, { grpc }: ConfigFile): ConfigProblem[] {
  if (grpc.tls || /^(127\.|localhost$|::1$)/.test(host)) return []
  const message = 'is missing: API keys reach the gRPC listener in plain text, unless something in front of it does TLS'
  return [{ path: 'grpc.tls', message }]
}

const noFile: ReadConfigFile = { content: {}, problems: [], variables: new Set() }

function readTextFile(path: string): string {
  return readFileSync(path, 'utf8')
}

/** Nothing is said twice: a value that could not be resolved, or a file that could not be read, is no further problem. */
function fileProblems(
  file: ReadConfigFile,
  schemaProblems: readonly ConfigProblem[],
  environment: Environment,
  otherProviders: readonly string[],
): ConfigProblem[] {
  if (file.content === undefined) return file.problems
  const unresolved = file.problems.map(({ path }) => path.replace(/\.fromFile$/, ''))
  const isNew = ({ path }: ConfigProblem): boolean => !unresolved.some((start) => path.startsWith(start))
  const checked = crossCheck(file.content, {
    // A bad list is a problem already; hosts are judged once it is mended.
    guard: createAddressGuard(privateUpstreamsOf(environment) ?? ['0.0.0.0/0', '::/0']),
    otherProviders,
    builtinProvider: builtinProviderName,
  })
  return [...file.problems, ...schemaProblems.filter(isNew), ...checked.filter(isNew)]
}

function environmentHostProblems({ providers, privateUpstreams }: EnvironmentSettings): ConfigProblem[] {
  const guard = createAddressGuard(privateUpstreams)
  return providers.flatMap(({ content, urlVariable }) => {
    const message = hostProblem(content.baseUrl ?? undefined, guard)
    return message ? [{ path: urlVariable, message }] : []
  })
}

function toConfig(settings: EnvironmentSettings, file: ConfigFile): Config {
  const { inputUsdPerMillion: input, outputUsdPerMillion: output } = file.unpricedEstimate
  const rates = { input: nanoUsd(input), output: nanoUsd(output) }
  return {
    settings,
    unpricedModels: file.unpricedModels,
    unpricedEstimate: { id: 'unpriced-estimate', tables: [{ serviceTier: 'default', aboveInputTokens: 0, rates }] },
    limits: file.limits,
    catalog: file.catalog,
    usage: file.usage,
    idempotency: file.idempotency,
    adminSignIn: file.adminSignIn,
    grpc: file.grpc,
    metrics: file.metrics,
    declared: toDeclaredConfiguration(file, settings),
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  if (!(value instanceof Secret)) for (const item of Object.values(value)) deepFreeze(item)
  return Object.freeze(value)
}
