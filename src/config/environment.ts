import { resolve } from 'node:path'
import { z } from 'zod'
import { passwordProblem } from '../core/access/password-rules.ts'
import { parseRedisUrl } from '../core/redis/redis-url.ts'
import { Secret } from '../core/secret.ts'
import { createAddressGuard } from '../core/upstream/address-guard.ts'
import { createProxies, readProxyUrl } from '../core/upstream/proxies.ts'
import {
  type EnvironmentProvider,
  environmentProvidersOf,
  idleUrls,
  providerSecretVariables,
  providerVariables,
} from './environment-providers.ts'
import { nearestName } from './nearest-name.ts'
import { type ConfigProblem, type Parsed, parseWithProblems } from './problem.ts'
import { regionName, type SecretCheck, secretField } from './schema-fields.ts'
import { type TracingConfig, tracingOf, tracingVariables } from './tracing-variables.ts'

/** What the environment sets: fixed for the life of the process. */
export interface EnvironmentSettings {
  /** Absolute. */
  readonly dataDir: string
  readonly configPath: string | undefined
  readonly host: string
  /** 0 means any free port. */
  readonly restPort: number
  readonly opsPort: number
  readonly grpcPort: number
  /** Undefined traces nothing. */
  readonly tracing: TracingConfig | undefined
  readonly adminPort: number
  /** Of pages that may use the admin API's refresh cookie, beside those at its own address. */
  readonly adminOrigins: readonly string[]
  /** Who becomes the first administrator, while there is none. */
  readonly bootstrapAdmin: { readonly email: string; readonly password: Secret } | undefined
  /** Processes that serve; 1 is this process itself. */
  readonly workers: number
  /** Where this replica stands, as targets of aliases name it. */
  readonly region: string | undefined
  readonly databaseUrl: Secret | undefined
  /** As `readRedisUrl` takes it. */
  readonly redisUrl: Secret | undefined
  /** What keys and channels in Redis begin with. */
  readonly redisPrefix: string
  readonly masterKey: Secret | undefined
  /** Further master keys, for a rotation; each as `masterKey`. */
  readonly previousMasterKeys: readonly Secret[]
  readonly keyPepper: Secret | undefined
  /** Hosts, addresses and CIDR ranges, as `createAddressGuard` takes them. */
  readonly privateUpstreams: readonly string[]
  readonly proxies: {
    readonly http: Secret | undefined
    readonly https: Secret | undefined
    readonly direct: string | undefined
  }
  readonly migrate: 'auto' | 'off'
  readonly logLevel: LogLevel
  /** How long after SIGTERM new calls are still accepted, while readiness already says no. */
  readonly drainDelayMs: number
  /** How long streams may run on after that. */
  readonly drainTimeoutMs: number
  /** Providers that variables of vendors create, such as OPENAI_API_KEY. */
  readonly providers: readonly EnvironmentProvider[]
  /** Variables of vendors that are not enough to create one. */
  readonly idle: readonly ConfigProblem[]
}

export type LogLevel = (typeof logLevels)[number]
const drainMsMax = 3_600_000
const workersMax = 64
const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

export type Environment = Readonly<Record<string, string | undefined>>

/** @throws an error with a `code` such as ENOENT */
export type ReadFile = (path: string) => string

/** Every variable with an effect in this release. Each one of type secret can also be given as NAME_FILE. */
export const environmentSchema = z.object({
  LLMGW_CONFIG: z.string().optional().describe('Path of the config file, YAML or TOML. Without it nothing is read.'),
  LLMGW_DATA_DIR: z
    .string()
    .default('./.llmgw')
    .describe('Folder for the built-in database, generated secrets and the usage journal.'),
  LLMGW_HOST: z
    .string()
    .regex(/^[A-Za-z0-9.:_-]+$/, 'expected an address or a host name to listen on')
    .default('127.0.0.1')
    .describe('Address that all listeners bind to; `0.0.0.0` is every IPv4 interface.'),
  LLMGW_PORT: port(8080).describe('REST listener, `/v1/*`. 0 takes any free port.'),
  LLMGW_GRPC_PORT: port(50051).describe('gRPC listener, see `proto/`. 0 takes any free port.'),
  LLMGW_OPS_PORT: port(9090).describe('Private listener: `/metrics`, `/healthz`, `/readyz`. 0 takes any free port.'),
  LLMGW_ADMIN_PORT: port(8081).describe('Admin listener: `/graphql`. 0 takes any free port.'),
  LLMGW_ADMIN_ORIGINS: z
    .string()
    .transform((text) => text.split(',').flatMap((entry) => entry.trim().replace(/\/$/, '') || []))
    .refine(
      (origins) => origins.every((origin) => /^https?:\/\/[^/?#@\s]+$/.test(origin)),
      'expected origins such as https://llmgw.example.com, with commas between them',
    )
    .default([])
    .meta({ type: 'list' })
    .describe('Where browsers reach the admin listener, if not at this machine: origins, with commas between them.'),
  LLMGW_BOOTSTRAP_ADMIN_EMAIL: z
    .string()
    .optional()
    .describe('Becomes the first administrator while there is none; without it, a start prints how to create one.'),
  LLMGW_BOOTSTRAP_ADMIN_PASSWORD: secretField(bootstrapPasswordCheck)
    .optional()
    .describe('Of that administrator, 12 to 128 characters. Change it after the first sign-in.'),
  LLMGW_WORKERS: workers().describe(
    'Processes that serve the REST port together, 1 to 64. More than one need DATABASE_URL and REDIS_URL.',
  ),
  LLMGW_REGION: regionName()
    .optional()
    .describe('Where this replica stands: targets of aliases in the same `region` are preferred.'),
  DATABASE_URL: secretField(databaseUrlCheck)
    .optional()
    .describe('PostgreSQL, as `postgres://user:password@host:5432/name`. Without it the built-in one is started.'),
  REDIS_URL: secretField(redisUrlCheck)
    .optional()
    .describe(
      'Redis: `redis://user:password@host:6379/0`, `redis+sentinel://user:password@host:26379,host:26379/master/0` or `redis+cluster://user:password@host:7000,host:7000`; `rediss` for TLS. Without it the gateway counts for itself.',
    ),
  LLMGW_REDIS_PREFIX: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,64}$/, 'expected 1 to 64 letters, digits, dots, dashes and underscores')
    .default('llmgw')
    .describe('What all keys and channels in Redis begin with; replicas that belong together have the same.'),
  LLMGW_MASTER_KEY: secretField(rootSecretCheck)
    .optional()
    .describe(
      'Protects stored credentials: 32 bytes in base64 or hexadecimal, generated into the data folder without it.',
    ),
  LLMGW_PREVIOUS_MASTER_KEYS: secretField(rootSecretsCheck)
    .optional()
    .describe(
      'Master keys that stored credentials may still be sealed with, with commas between them; for a rotation, which `llmgw secrets rotate` completes.',
    ),
  LLMGW_KEY_PEPPER: secretField(rootSecretCheck)
    .optional()
    .describe(
      'Goes into the digests of virtual keys: 32 bytes in base64 or hexadecimal, generated into the data folder without it.',
    ),
  LLMGW_PRIVATE_UPSTREAMS: z
    .string()
    .transform((text) => text.split(',').flatMap((entry) => entry.trim() || []))
    .superRefine((entries, context) => {
      const wrong = entries.findIndex((entry) => !isHostOrRange(entry))
      if (wrong < 0) return
      context.addIssue({
        code: 'custom',
        message: `expected hosts, addresses and CIDR ranges, without scheme and port and with commas between them; number ${wrong + 1} is none of these`,
      })
    })
    .default([])
    .meta({ type: 'list' })
    .describe(
      'Upstreams that may be reached although they are private, plain http and all ports allowed: hosts, addresses and CIDR ranges, with commas between them.',
    ),
  HTTPS_PROXY: secretField(proxyCheck)
    .optional()
    .describe(
      'The proxy through which https upstreams are reached: `http://user:password@host:port`. Lower case wins, here and in the next two.',
    ),
  HTTP_PROXY: secretField(proxyCheck)
    .optional()
    .describe('The same for upstreams by plain http; it is asked for a tunnel, too.'),
  NO_PROXY: z
    .string()
    .superRefine((text, context) => {
      const message = problemOf(() => createProxies({ http: undefined, https: undefined, direct: text }))
      if (message) context.addIssue({ code: 'custom', message })
    })
    .optional()
    .meta({ type: 'list' })
    .describe(
      'Upstreams that are reached without a proxy: hosts with all below them, addresses, CIDR ranges, `host:port`, or `*`. This machine always is.',
    ),
  LLMGW_MIGRATE: z
    .enum(['auto', 'off'])
    .default('auto')
    .describe('Whether pending migrations are applied at start; with `off` the process waits for a schema that fits.'),
  LLMGW_LOG_LEVEL: z.enum(logLevels).default('info').describe('The least serious lines that are logged.'),
  ...tracingVariables,
  LLMGW_DRAIN_DELAY_MS: milliseconds(5_000).describe(
    'After SIGTERM, how long new calls are still accepted while `/readyz` already answers 503.',
  ),
  LLMGW_DRAIN_TIMEOUT_MS: milliseconds(120_000).describe('After that, how long running calls may take to end.'),
  ...providerVariables,
})

/** Names that later releases will read: not a mistake, and without effect. */
export const reservedVariables: readonly string[] = ['LLMGW_ROLE']

export const secretVariables = [
  'DATABASE_URL',
  'REDIS_URL',
  'LLMGW_MASTER_KEY',
  'LLMGW_PREVIOUS_MASTER_KEYS',
  'LLMGW_KEY_PEPPER',
  'LLMGW_BOOTSTRAP_ADMIN_PASSWORD',
  'OTEL_EXPORTER_OTLP_HEADERS',
  ...providerSecretVariables,
  'HTTPS_PROXY',
  'HTTP_PROXY',
] as const

/** Known in lower case, too, by custom; most programs prefer it. */
const proxyVariables: readonly string[] = ['HTTPS_PROXY', 'HTTP_PROXY', 'NO_PROXY']

const variableNames = Object.keys(environmentSchema.shape)
const knownNames = [...variableNames, ...secretVariables.map((name) => `${name}_FILE`), ...reservedVariables]

/** Set by Kubernetes in every pod beside a Service named "llmgw", and nobody's doing. */
const serviceLink = /^LLMGW_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP)(_\w+)?)$/

/** A variable that is set to nothing counts as not set: orchestrators pass on empty ones. */
export function parseEnvironment(environment: Environment, readFile: ReadFile): Parsed<EnvironmentSettings> {
  const problems: ConfigProblem[] = []
  const given: Record<string, unknown> = {}
  for (const name of variableNames) {
    const value = (proxyVariables.includes(name) && environment[name.toLowerCase()]) || environment[name]
    if (value) given[name] = value
  }
  for (const name of secretVariables) {
    const path = environment[`${name}_FILE`]
    if (!path) continue
    if (given[name] !== undefined) {
      problems.push({ path: `${name}_FILE`, message: `expected either ${name} or ${name}_FILE, found both` })
      continue
    }
    const content = readSecretFile(path, readFile)
    if (content instanceof Secret) given[name] = content
    else problems.push({ path: `${name}_FILE`, message: content.problem })
  }
  const parsed = parseWithProblems(environmentSchema, given)
  if (!parsed.ok) return { ok: false, problems: [...problems, ...parsed.problems] }
  const variables = parsed.value
  const ports = ['LLMGW_PORT', 'LLMGW_GRPC_PORT', 'LLMGW_OPS_PORT', 'LLMGW_ADMIN_PORT'] as const
  for (const [index, name] of ports.entries()) {
    const twin = ports.slice(0, index).find((other) => variables[other] !== 0 && variables[other] === variables[name])
    if (twin) problems.push({ path: name, message: `expected another port than ${twin}` })
  }
  const bootstrap = ['LLMGW_BOOTSTRAP_ADMIN_EMAIL', 'LLMGW_BOOTSTRAP_ADMIN_PASSWORD'] as const
  const [absent, ...others] = bootstrap.filter((name) => variables[name] === undefined)
  if (absent && others.length === 0) {
    problems.push({ path: absent, message: 'is missing: an email address and a password belong together' })
  }
  const lacking = (['DATABASE_URL', 'REDIS_URL'] as const).filter((name) => variables[name] === undefined)
  if (variables.LLMGW_WORKERS > 1 && lacking.length > 0) {
    const message = `expected ${lacking.join(' and ')} beside it: several workers need a database and a Redis in common`
    problems.push({ path: 'LLMGW_WORKERS', message })
  }
  if (problems.length > 0) return { ok: false, problems }
  return { ok: true, value: toSettings(variables, readFile) }
}

/** Known apart from the rest, so that what is wrong elsewhere does not hide hosts that may not be reached. */
export function privateUpstreamsOf(environment: Environment): readonly string[] | undefined {
  const given = environment.LLMGW_PRIVATE_UPSTREAMS || undefined
  return environmentSchema.shape.LLMGW_PRIVATE_UPSTREAMS.safeParse(given).data
}

/**
 * Names that begin like ours and are none of ours: a typing mistake would otherwise be a setting that does nothing.
 *
 * @param referenced - names that the config file itself uses, whatever they begin with
 */
export function unknownVariables(environment: Environment, referenced: ReadonlySet<string>): ConfigProblem[] {
  return Object.keys(environment)
    .filter((name) => name.startsWith('LLMGW_') && !knownNames.includes(name) && !referenced.has(name))
    .filter((name) => !serviceLink.test(name))
    .map((name) => {
      const nearest = nearestName(name, knownNames)
      return { path: name, message: `is not a known variable${nearest ? `; did you mean ${nearest}?` : ''}` }
    })
}

/** What is set and does nothing, which an operator should hear about. */
export function environmentWarnings(environment: Environment): ConfigProblem[] {
  const reserved = reservedVariables
    .filter((name) => environment[name])
    .map((name) => ({ path: name, message: 'is reserved for a later release and has no effect yet' }))
  const idle: ConfigProblem[] = []
  if (environment.LLMGW_REDIS_PREFIX && !environment.REDIS_URL && !environment.REDIS_URL_FILE) {
    idle.push({ path: 'LLMGW_REDIS_PREFIX', message: 'has no effect without REDIS_URL' })
  }
  return [...reserved, ...idle, ...idleUrls(environment)]
}

/** @returns the content without the newline that editors leave at the end, or what is wrong, naming no content */
export function readSecretFile(path: string, readFile: ReadFile): Secret | { problem: string } {
  try {
    return new Secret(readFile(path).replace(/\r?\n$/, ''))
  } catch (error) {
    return { problem: `expected a file that can be read (${errorCode(error)})` }
  }
}

export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
}

function toSettings(variables: z.output<typeof environmentSchema>, readFile: ReadFile): EnvironmentSettings {
  const { LLMGW_BOOTSTRAP_ADMIN_EMAIL: email, LLMGW_BOOTSTRAP_ADMIN_PASSWORD: password } = variables
  return {
    dataDir: resolve(variables.LLMGW_DATA_DIR),
    configPath: variables.LLMGW_CONFIG,
    host: variables.LLMGW_HOST,
    restPort: variables.LLMGW_PORT,
    opsPort: variables.LLMGW_OPS_PORT,
    grpcPort: variables.LLMGW_GRPC_PORT,
    tracing: tracingOf(variables),
    adminPort: variables.LLMGW_ADMIN_PORT,
    adminOrigins: variables.LLMGW_ADMIN_ORIGINS,
    bootstrapAdmin: email && password ? { email, password } : undefined,
    workers: variables.LLMGW_WORKERS,
    region: variables.LLMGW_REGION,
    databaseUrl: variables.DATABASE_URL,
    redisUrl: variables.REDIS_URL,
    redisPrefix: variables.LLMGW_REDIS_PREFIX,
    masterKey: variables.LLMGW_MASTER_KEY,
    previousMasterKeys: listedSecrets(variables.LLMGW_PREVIOUS_MASTER_KEYS),
    keyPepper: variables.LLMGW_KEY_PEPPER,
    privateUpstreams: variables.LLMGW_PRIVATE_UPSTREAMS,
    proxies: { https: variables.HTTPS_PROXY, http: variables.HTTP_PROXY, direct: variables.NO_PROXY },
    migrate: variables.LLMGW_MIGRATE,
    logLevel: variables.LLMGW_LOG_LEVEL,
    drainDelayMs: variables.LLMGW_DRAIN_DELAY_MS,
    drainTimeoutMs: variables.LLMGW_DRAIN_TIMEOUT_MS,
    ...environmentProvidersOf(variables, readFile),
  }
}

function port(portDefault: number) {
  return wholeNumberText(65_535, (given) =>
    given.startsWith('tcp://')
      ? 'expected a whole number from 0 to 65535; Kubernetes sets this for a Service of that name: use enableServiceLinks: false'
      : 'expected a whole number from 0 to 65535',
  )
    .default(portDefault)
    .meta({ type: 'port' })
}

function workers() {
  const message = `expected a whole number from 1 to ${workersMax}`
  return wholeNumberText(workersMax, () => message)
    .refine((count) => count > 0, message)
    .default(1)
    .meta({ type: 'number' })
}

function milliseconds(msDefault: number) {
  return wholeNumberText(drainMsMax, () => `expected milliseconds, a whole number from 0 to ${drainMsMax}`)
    .default(msDefault)
    .meta({ type: 'milliseconds' })
}

function wholeNumberText(max: number, message: (given: string) => string) {
  return z.string().transform((text, context) => {
    if (/^\d{1,9}$/.test(text) && Number(text) <= max) return Number(text)
    context.addIssue({ code: 'custom', message: message(text) })
    return z.NEVER
  })
}

function rootSecretCheck(text: string): ReturnType<SecretCheck> {
  return /^([0-9a-f]{64}|[\w+/-]{43}=?)$/i.test(text)
    ? undefined
    : 'expected 32 bytes in base64 or hexadecimal, as `openssl rand -base64 32` makes them'
}

function bootstrapPasswordCheck(text: string): ReturnType<SecretCheck> {
  return passwordProblem(text) && 'expected 12 to 128 characters'
}

function rootSecretsCheck(text: string): ReturnType<SecretCheck> {
  const wrong = partsOf(text).findIndex((part) => rootSecretCheck(part) !== undefined)
  if (wrong >= 0) return `number ${wrong + 1} is none: ${rootSecretCheck('')}`
  return partsOf(text).length > 0 ? undefined : rootSecretCheck('')
}

const listedSecrets = (list: Secret | undefined): Secret[] =>
  list ? partsOf(list.reveal()).map((part) => new Secret(part)) : []

const partsOf = (list: string): string[] => list.split(/[\s,]+/).filter((part) => part !== '')

function databaseUrlCheck(text: string): ReturnType<SecretCheck> {
  return /^postgres(ql)?:$/.test(URL.parse(text)?.protocol ?? '')
    ? undefined
    : 'expected postgres://user:password@host:port/name, special characters in the password percent-encoded'
}

function redisUrlCheck(text: string): ReturnType<SecretCheck> {
  const parsed = parseRedisUrl(text)
  return 'problem' in parsed ? parsed.problem : undefined
}

function proxyCheck(text: string): ReturnType<SecretCheck> {
  return problemOf(() => readProxyUrl(text))
}

/** @returns the words of what is thrown, which are fit to show */
function problemOf(read: () => unknown): string | undefined {
  try {
    read()
    return undefined
  } catch (error) {
    return error instanceof RangeError ? error.message : 'cannot be read'
  }
}

function isHostOrRange(entry: string): boolean {
  // A slash without a number would be read as /0, which is everything.
  if (entry.endsWith('/')) return false
  try {
    createAddressGuard([entry])
    return true
  } catch {
    return false // RangeError: neither a host nor a range
  }
}
