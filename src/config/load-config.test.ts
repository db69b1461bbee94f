import { expect, test } from 'vitest'
import { Secret } from '../core/secret.ts'
import type { Environment } from './environment.ts'
import { configExitCode, createConfigLoader, formatConfig, type LoadConfigResult, loadConfig } from './load-config.ts'
import { formatProblems } from './problem.ts'

/** Loads as if these were all the files there are. */
function load(environment: Environment, files: Record<string, string> = {}): LoadConfigResult {
  return loadConfig(environment, fileReader(files))
}

const loadYaml = (text: string, environment: Environment = {}, files: Record<string, string> = {}): LoadConfigResult =>
  load({ LLMGW_CONFIG: '/etc/llmgw.yaml', ...environment }, { '/etc/llmgw.yaml': text, ...files })

function fileReader(files: Record<string, string>) {
  return (path: string): string => {
    const text = files[path]
    if (text === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' })
    return text
  }
}

function problemsOf(result: LoadConfigResult): string[] {
  return result.ok ? [] : result.problems.map(({ path, message }) => `${path}: ${message}`)
}

function configOf(result: LoadConfigResult) {
  if (!result.ok) throw new Error(formatProblems(result.problems))
  return result.config
}

const openai = '{ name: openai, type: openai, credentials: { apiKey: k } }'

test('nothing configured is a whole configuration, with the demo provider', () => {
  const { settings, declared, unpricedModels, limits } = configOf(load({}))
  expect(settings).toMatchObject({ host: '127.0.0.1', restPort: 8080, opsPort: 9090, migrate: 'auto' })
  expect(declared.providers).toMatchObject([{ name: 'demo', type: 'demo', managedBy: 'builtin' }])
  expect(declared.models.map(({ name }) => name)).toEqual(['demo-chat', 'demo-embedding'])
  expect(declared.models.every(({ rateTables }) => rateTables?.[0]?.rates.input === '0')).toBe(true)
  expect(unpricedModels).toBe('allow')
  expect(limits.bodyBytes).toBe(10 * 1024 * 1024)
  expect(configExitCode).toBe(78)
})

test('the provider of the environment stands beside the demo, and gives way to one of the file', () => {
  const environment = { OPENAI_API_KEY: 'sk-environment', OPENAI_BASE_URL: 'https://eu.api.openai.com/v1/' }
  const alone = configOf(load(environment)).declared.providers
  expect(alone).toMatchObject([
    { name: 'openai', managedBy: 'environment', baseUrl: 'https://eu.api.openai.com/v1' },
    { name: 'demo', managedBy: 'builtin' },
  ])
  const both = configOf(loadYaml(`providers: [${openai}]`, environment)).declared.providers
  expect(both).toMatchObject([{ name: 'openai', managedBy: 'file', baseUrl: 'https://api.openai.com/v1' }])
  const [provider] = both
  expect(provider?.credentials.apiKey?.reveal()).toBe('k')
})

test('each key of a provider in the environment is a provider of that name', () => {
  const environment = { ANTHROPIC_API_KEY: 'sk-ant', GEMINI_API_KEY: 'AIza', GEMINI_BASE_URL: 'https://g.example/v1' }
  const { providers } = configOf(load(environment)).declared
  expect(providers).toMatchObject([
    { name: 'anthropic', type: 'anthropic', managedBy: 'environment', baseUrl: 'https://api.anthropic.com' },
    { name: 'gemini', type: 'gemini', managedBy: 'environment', baseUrl: 'https://g.example/v1' },
    { name: 'demo' },
  ])
  expect(providers[0]?.credentials.apiKey?.reveal()).toBe('sk-ant')
})

test.each<[string, Environment, string[]]>([
  ['a port that is none', { LLMGW_PORT: '80a' }, ['LLMGW_PORT: expected a whole number from 0 to 65535']],
  ['a port out of range', { LLMGW_OPS_PORT: '65536' }, ['LLMGW_OPS_PORT: expected a whole number from 0 to 65535']],
  ['two listeners on one port', { LLMGW_PORT: '9090' }, ['LLMGW_OPS_PORT: expected another port than LLMGW_PORT']],
  [
    'a port that Kubernetes set',
    { LLMGW_PORT: 'tcp://10.0.0.1:8080', LLMGW_SERVICE_HOST: '10.0.0.1', LLMGW_PORT_8080_TCP_ADDR: '10.0.0.1' },
    [
      'LLMGW_PORT: expected a whole number from 0 to 65535; Kubernetes sets this for a Service of that name: use enableServiceLinks: false',
    ],
  ],
  ['no worker at all', { LLMGW_WORKERS: '0' }, ['LLMGW_WORKERS: expected a whole number from 1 to 64']],
  ['too many workers', { LLMGW_WORKERS: '65' }, ['LLMGW_WORKERS: expected a whole number from 1 to 64']],
  [
    'workers with nothing in common',
    { LLMGW_WORKERS: '2' },
    [
      'LLMGW_WORKERS: expected DATABASE_URL and REDIS_URL beside it: several workers need a database and a Redis in common',
    ],
  ],
  [
    'workers without a Redis',
    { LLMGW_WORKERS: '2', DATABASE_URL: 'postgres://u@db/llmgw' },
    ['LLMGW_WORKERS: expected REDIS_URL beside it: several workers need a database and a Redis in common'],
  ],
  ['a mistyped name', { LLMGW_DATADIR: 'x' }, ['LLMGW_DATADIR: is not a known variable; did you mean LLMGW_DATA_DIR?']],
  ['a name from nowhere', { LLMGW_ZZZZZZ: 'x' }, ['LLMGW_ZZZZZZ: is not a known variable']],
  [
    'a Redis that is none',
    { REDIS_URL: 'redis://u:secret@a,b' },
    ['REDIS_URL: expected one host; several need redis+sentinel:// or redis+cluster://'],
  ],
  [
    'a prefix that would split keys',
    { REDIS_URL: 'redis://r', LLMGW_REDIS_PREFIX: 'a{b}' },
    ['LLMGW_REDIS_PREFIX: expected 1 to 64 letters, digits, dots, dashes and underscores'],
  ],
  [
    'ranges that are none',
    { LLMGW_PRIVATE_UPSTREAMS: '10.0.0.0/8,10.0.0.0/' },
    [
      'LLMGW_PRIVATE_UPSTREAMS: expected hosts, addresses and CIDR ranges, without scheme and port and with commas between them; number 2 is none of these',
    ],
  ],
  [
    'another database',
    { DATABASE_URL: 'mysql://root:hunter2@db/x' },
    [
      'DATABASE_URL: expected postgres://user:password@host:port/name, special characters in the password percent-encoded',
    ],
  ],
  [
    'a short master key',
    { LLMGW_MASTER_KEY: 'short' },
    ['LLMGW_MASTER_KEY: expected 32 bytes in base64 or hexadecimal, as `openssl rand -base64 32` makes them'],
  ],
  [
    'a secret given twice',
    { OPENAI_API_KEY: 'sk-1', OPENAI_API_KEY_FILE: '/run/key' },
    ['OPENAI_API_KEY_FILE: expected either OPENAI_API_KEY or OPENAI_API_KEY_FILE, found both'],
  ],
  [
    'a secret file that is not there',
    { OPENAI_API_KEY_FILE: '/nowhere' },
    ['OPENAI_API_KEY_FILE: expected a file that can be read (ENOENT)'],
  ],
  [
    'a private base URL',
    { OPENAI_API_KEY: 'sk-1', OPENAI_BASE_URL: 'http://localhost:9900/v1' },
    ['OPENAI_BASE_URL: localhost is this machine; name it in LLMGW_PRIVATE_UPSTREAMS to allow it'],
  ],
  [
    'a proxy of another kind, and hosts without one that are none',
    { HTTPS_PROXY: 'socks5://hunter2@proxy:1080', no_proxy: '10.0.0.0/99' },
    [
      'HTTPS_PROXY: expected http://host:port or https://host:port, with user:password@ where it asks for them',
      'NO_PROXY: expected hosts, addresses and CIDR ranges, with commas between them; number 1 is none of these',
    ],
  ],
  [
    'a config file that is not there',
    { LLMGW_CONFIG: 'x.yaml' },
    ['LLMGW_CONFIG: expected a file that can be read (ENOENT)'],
  ],
  [
    'a config file of another kind',
    { LLMGW_CONFIG: 'x.ini' },
    ['LLMGW_CONFIG: expected a file that ends in .yaml, .yml or .toml'],
  ],
  [
    'several at once',
    { LLMGW_MIGRATE: 'yes', LLMGW_LOG_LEVEL: 'loud', LLMGW_HOST: 'a b', LLMGW_DRAIN_TIMEOUT_MS: '1s' },
    [
      'LLMGW_HOST: expected an address or a host name to listen on',
      'LLMGW_MIGRATE: expected one of auto, off',
      'LLMGW_LOG_LEVEL: expected one of trace, debug, info, warn, error, fatal, silent',
      'LLMGW_DRAIN_TIMEOUT_MS: expected milliseconds, a whole number from 0 to 3600000',
    ],
  ],
])('the environment is refused with %s', (_what, environment, expected) => {
  expect(problemsOf(load(environment))).toEqual(expected)
})

test.each<[string, string, string[]]>([
  ['a file that is a list', '- a', ['file: expected a mapping, found a list']],
  [
    'unknown fields',
    `providers: [{ name: a, type: openai-compatible, base_url: 'https://a.example' }]\nalias: []\ncolour: red`,
    [
      'providers[0].baseUrl: expected text, found nothing',
      'providers[0].base_url: is not a known field; did you mean baseUrl?',
      'alias: is not a known field; did you mean aliases?',
      'colour: is not a known field; expected providers, models, aliases, keys, budgets, rateLimits, unpricedModels, unpricedEstimate, limits, catalog, usage, idempotency, adminSignIn, grpc, metrics',
    ],
  ],
  [
    'a provider type from nowhere',
    'providers: [{ name: a, type: skynet }]',
    [
      'providers[0].type: expected one of openai, openai-compatible, azure-openai, anthropic, bedrock, gemini, vertex, demo',
    ],
  ],
  [
    'a provider of OpenAI without a key',
    'providers: [{ name: openai, type: openai }]',
    ['providers[0].credentials.apiKey: is missing; expected an API key of OpenAI'],
  ],
  [
    'base URLs that may not be',
    `providers:
      - { name: a, type: openai-compatible, baseUrl: 'https://user:hunter2@a.example/v1' }
      - { name: b, type: openai-compatible, baseUrl: 'https://b.example/v1?key=hunter2' }
      - { name: c, type: openai-compatible, baseUrl: 'https://c.example/v1#' }
      - { name: d, type: openai-compatible, baseUrl: 'http://d.example/v1' }
      - { name: e, type: openai-compatible, baseUrl: 'https://169.254.169.254/v1' }
      - { name: f, type: openai-compatible, baseUrl: 'https://[::1]/v1' }
      - { name: g, type: openai-compatible, baseUrl: 'file:///etc/passwd' }
      - { name: h, type: openai-compatible, baseUrl: 'https://h.example:8443/v1' }`,
    [
      'providers[0].baseUrl: expected an https:// URL without user, password, query and fragment',
      'providers[1].baseUrl: expected an https:// URL without user, password, query and fragment',
      'providers[2].baseUrl: expected an https:// URL without user, password, query and fragment',
      'providers[6].baseUrl: expected an https:// URL without user, password, query and fragment',
      'providers[3].baseUrl: d.example must be reached by https; name it in LLMGW_PRIVATE_UPSTREAMS to allow plain http there',
      'providers[4].baseUrl: 169.254.169.254 is where a cloud hands out the credentials of this machine; only this very address in LLMGW_PRIVATE_UPSTREAMS allows it',
      'providers[5].baseUrl: [::1] is not a public address; name it in LLMGW_PRIVATE_UPSTREAMS to allow it',
      'providers[7].baseUrl: h.example must be reached on port 443; name it in LLMGW_PRIVATE_UPSTREAMS to allow port 8443 there',
    ],
  ],
  [
    'headers that the gateway sets, and two credentials',
    `providers:
      - { name: a, type: openai-compatible, baseUrl: 'https://a.example', headers: { Host: b, 'x y': c } }
      - { name: b, type: openai-compatible, baseUrl: 'https://b.example', credentials: { apiKey: k }, headers: { Authorization: Basic x } }`,
    [
      'providers[0].headers.Host: is a header that the gateway sets itself',
      'providers[0].headers["x y"]: expected a header name of letters, digits and dashes',
      'providers[1].headers.Authorization: expected either this header or credentials.apiKey',
    ],
  ],
  [
    'names that stand twice',
    `providers: [${openai}, ${openai}]
models:
  - { provider: openai, name: m, inputUsdPerMillion: 1, outputUsdPerMillion: 1 }
  - { provider: openai, name: m, inputUsdPerMillion: 2, outputUsdPerMillion: 2 }
aliases:
  - { name: smart, targets: [{ provider: openai, model: m }, { provider: openai, model: m, priority: 1 }] }
  - { name: smart, targets: [{ provider: openai, model: m }] }
keys:
  - { name: k, secret: aaaaaaaaaaaaaaaaaaaa }
  - { name: k, secret: aaaaaaaaaaaaaaaaaaaa }`,
    [
      'providers[1].name: is the same as in providers[0]; expected another one',
      'aliases[1].name: is the same as in aliases[0]; expected another one',
      'keys[1].name: is the same as in keys[0]; expected another one',
      'models[1].name: is the same as in models[0]; expected another one',
      'keys[1].secret: is the same as in keys[0]; expected another one',
      'aliases[0].targets[1].model: is the same as in aliases[0].targets[0]; expected another one',
    ],
  ],
  [
    'names that point nowhere or collide',
    `providers: [${openai}]
models: [{ provider: opnai, name: m }]
aliases:
  - { name: openai, targets: [{ provider: demo, model: demo-chat }] }
  - { name: openai/gpt, targets: [{ provider: openai, model: m }] }`,
    [
      'models[0].provider: names no provider; expected openai',
      'aliases[0].name: is the name of a provider, too; expected another one',
      'aliases[0].targets[0].provider: names no provider; expected openai',
      'aliases[1].name: reads as a model of a provider (provider/model); expected another name',
    ],
  ],
  [
    'prices that are not exact, negative, or half there',
    `providers: [${openai}]
models:
  - { provider: openai, name: a, inputUsdPerMillion: 0.0000000001, outputUsdPerMillion: '1,5' }
  - { provider: openai, name: b, inputUsdPerMillion: -1, outputUsdPerMillion: 1000001 }
  - { provider: openai, name: c, inputUsdPerMillion: 1 }
  - { provider: openai, name: d, perRequestUsd: 1, mode: embedding }
  - { provider: openai, name: e, inputUsdPerMillion: 1, outputUsdPerMillion: 1, tiers: [{ aboveInputTokens: 9 }, { aboveInputTokens: 9, outputUsdPerMillion: 2 }] }`,
    [
      'models[0].inputUsdPerMillion: expected dollars from 0 to 1000000, with at most 9 decimals',
      'models[0].outputUsdPerMillion: expected dollars from 0 to 1000000, with at most 9 decimals',
      'models[1].inputUsdPerMillion: expected dollars from 0 to 1000000, with at most 9 decimals',
      'models[1].outputUsdPerMillion: expected dollars from 0 to 1000000, with at most 9 decimals',
      'models[2].outputUsdPerMillion: is missing; a price that is not given is unknown, not free: say 0 if it is',
      'models[3].inputUsdPerMillion: is missing; a price that is not given is unknown, not free: say 0 if it is',
      'models[4].tiers[0]: expected at least one price, such as inputUsdPerMillion',
      'models[4].tiers[1].aboveInputTokens: expected a size that no other tier has',
    ],
  ],
  [
    'keys that make no sense',
    `keys:
  - { name: short, secret: abc }
  - { name: spaced, secret: 'twenty characters and a space' }
  - { name: number, secret: 12345678901234567890 }
  - { name: mistyped, secret: llmgw_0000000000000000000000000000000000000000000000000 }
  - { name: ' padded', expiresAt: tomorrow, allowedModels: [] }
  - { name: patterns, allowedModels: ['gpt-[45]'], tags: { 'a b': c }, unpricedModels: maybe }
  - { name: limits, rateLimits: { requestsPerMinute: 0, tokensPerMinute: 1.5 } }
  - { name: budgets, budgets: [{ amountUsd: 1, period: fortnight, timeZone: Mars }] }
  - { name: twice, team: a, budgets: [{ amountUsd: 1, period: day }, { amountUsd: 2, period: day, mode: soft }] }`,
    [
      'keys[0].secret: expected 20 to 200 visible ASCII characters',
      'keys[1].secret: expected 20 to 200 visible ASCII characters',
      'keys[2].secret: expected text (in quotes), or { fromFile: path }',
      "keys[3].secret: carries the gateway's own prefix but is cut or mistyped; expected the whole key, or a secret without that prefix",
      'keys[4].name: expected 1 to 100 characters on one line, without spaces around them',
      'keys[4].allowedModels: expected at least 1 item',
      'keys[4].expiresAt: expected a time with its zone, such as 2027-01-31T00:00:00Z',
      'keys[5].allowedModels[0]: expected a name in visible ASCII, * being its only wildcard, such as openai/*',
      'keys[5].unpricedModels: expected one of block, estimate, allow',
      'keys[5].tags["a b"]: expected a name of 1 to 64 letters, digits, dots, dashes and underscores',
      'keys[6].rateLimits.requestsPerMinute: expected at least 1',
      'keys[6].rateLimits.tokensPerMinute: expected a whole number, found a number with a fraction',
      'keys[7].budgets[0].period: expected one of hour, day, week, month, quarter, total',
      'keys[7].budgets[0].timeZone: expected a time zone such as UTC or Europe/Berlin',
      'keys[8].organization: is missing; a team belongs to an organization',
      'keys[8].budgets[1].period: expected a period that no other budget of the key has',
    ],
  ],
  [
    'empty sections and settings out of range',
    'keys:\nlimits: { bodyBytes: 1, headersTimeoutMs: fast }\ncatalog: { sync: hourly, url: "http://10.0.0.1" }\nusage: { journal: { maxBytes: 1 } }',
    [
      'keys: expected a list, found nothing',
      'limits.bodyBytes: expected at least 1024',
      'limits.headersTimeoutMs: expected a whole number, found text',
      'catalog.sync: expected one of daily, off',
      'usage.journal.maxBytes: expected at least 16777216',
      'catalog.url: 10.0.0.1 is not a public address; name it in LLMGW_PRIVATE_UPSTREAMS to allow it',
    ],
  ],
])('a file is refused with %s', (_what, text, expected) => {
  expect(problemsOf(loadYaml(text))).toEqual(expected)
})

test('private upstreams are reached when the environment names them, by plain http, too', () => {
  const text = `providers:
    - { name: a, type: openai-compatible, baseUrl: 'http://localhost:9900/v1/' }
    - { name: b, type: openai-compatible, baseUrl: 'https://10.1.2.3' }`
  const { declared } = configOf(loadYaml(text, { LLMGW_PRIVATE_UPSTREAMS: 'localhost, 10.0.0.0/8' }))
  expect(declared.providers).toMatchObject([{ baseUrl: 'http://localhost:9900/v1' }, { baseUrl: 'https://10.1.2.3' }])
})

test('proxies are read by their names in lower case, too, which win', () => {
  const environment = { HTTPS_PROXY: 'http://upper', https_proxy: 'http://u:p@lower', HTTP_PROXY: '', NO_PROXY: 'a' }
  const { https, http, direct } = configOf(load(environment)).settings.proxies
  expect([https?.reveal(), http, direct]).toEqual(['http://u:p@lower', undefined, 'a'])
  expect(JSON.stringify(https)).not.toContain('u:p')
})

test('problems of the environment do not hide those of the file', () => {
  const text = 'providers: [{ name: a, type: openai-compatible, baseUrl: "http://10.0.0.1" }]'
  expect(problemsOf(loadYaml(text, { LLMGW_PORT: 'x', OPENAI_API_KEY: 'sk-1' }))).toEqual([
    'LLMGW_PORT: expected a whole number from 0 to 65535',
    'providers[0].baseUrl: 10.0.0.1 is not a public address; name it in LLMGW_PRIVATE_UPSTREAMS to allow it',
  ])
})

test('prices and budgets are exact, whether written as numbers or as text', () => {
  const text = `
providers: [${openai}]
models:
  - provider: openai
    name: m
    inputUsdPerMillion: 0.1
    outputUsdPerMillion: '0.000000001'
    cacheWriteOneHourUsdPerMillion: 1e-7
    perRequestUsd: 0.000000001
    tiers:
      - { aboveInputTokens: 400000, outputUsdPerMillion: 3 }
      - { aboveInputTokens: 200000, inputUsdPerMillion: 2 }
keys: [{ name: k, budgets: [{ amountUsd: '12345678.123456789', period: month }] }]`
  const { declared } = configOf(loadYaml(text))
  const rates = { input: '100000000', output: '1', cache_write_1h: '100', request: '1000000' }
  expect(declared.models[0]?.rateTables).toEqual([
    { serviceTier: 'default', aboveInputTokens: 0, rates },
    { serviceTier: 'default', aboveInputTokens: 200_000, rates: { ...rates, input: '2000000000' } },
    { serviceTier: 'default', aboveInputTokens: 400_000, rates: { ...rates, output: '3000000000' } },
  ])
  expect(declared.keys[0]?.budgets[0]?.amountNano).toBe(12_345_678_123_456_789n)
})

test('what is set without effect is a warning, and limits and budgets are none', () => {
  const text = `keys: [{ name: a, rateLimits: { requestsPerMinute: 1 }, budgets: [{ amountUsd: 1, period: day }] }]`
  const result = loadYaml(text, {
    LLMGW_REDIS_PREFIX: 'p',
    OPENAI_BASE_URL: 'https://a.example',
    ANTHROPIC_BASE_URL: 'https://a.example',
  })
  expect(result.ok && result.warnings.map(({ path, message }) => `${path}: ${message}`)).toEqual([
    'LLMGW_REDIS_PREFIX: has no effect without REDIS_URL',
    'OPENAI_BASE_URL: has no effect without OPENAI_API_KEY',
    'ANTHROPIC_BASE_URL: has no effect without ANTHROPIC_API_KEY',
  ])
})

test('YAML and TOML say the same', () => {
  const yaml = `
unpricedModels: allow
providers:
  - { name: openai, type: openai, credentials: { apiKey: "\${KEY}" }, timeouts: { idleMs: 5 } }
models:
  - { provider: openai, name: m, inputUsdPerMillion: 0.5, outputUsdPerMillion: 1.5, tiers: [{ aboveInputTokens: 9, inputUsdPerMillion: 1 }] }
aliases:
  - { name: smart, targets: [{ provider: openai, model: m, weight: 3 }] }
keys:
  - { name: k, secret: { fromFile: key }, expiresAt: '2030-01-01T00:00:00Z', tags: { team: a }, metadata: { n: [1, true] } }
`
  const toml = `
unpricedModels = "allow"
[[providers]]
name = "openai"
type = "openai"
credentials = { apiKey = "\${KEY}" }
timeouts.idleMs = 5
[[models]]
provider = "openai"
name = "m"
inputUsdPerMillion = 0.5
outputUsdPerMillion = 1.5
[[models.tiers]]
aboveInputTokens = 9
inputUsdPerMillion = 1
[[aliases]]
name = "smart"
targets = [{ provider = "openai", model = "m", weight = 3 }]
[[keys]]
name = "k"
secret = { fromFile = "key" }
expiresAt = 2030-01-01T00:00:00Z
tags.team = "a"
metadata.n = [1, true]
`
  const files = { '/etc/a.yaml': yaml, '/etc/a.toml': toml, '/etc/key': 'a-secret-of-twenty-characters\n' }
  const fromYaml = configOf(load({ LLMGW_CONFIG: '/etc/a.yaml', KEY: 'sk-1' }, files))
  const fromToml = configOf(load({ LLMGW_CONFIG: '/etc/a.toml', KEY: 'sk-1' }, files))
  expect(formatConfig(fromToml)).toBe(formatConfig(fromYaml).replace('a.yaml', 'a.toml'))
  expect(fromToml.declared.keys[0]?.secret?.reveal()).toBe('a-secret-of-twenty-characters')
  expect(fromYaml.declared.keys[0]?.secret?.reveal()).toBe('a-secret-of-twenty-characters')
})

test('the result is frozen all the way down', () => {
  const text = `providers: [${openai}]\nkeys: [{ name: k, allowedModels: [a], metadata: { deep: [{ er: 1 }] } }]`
  const config = configOf(loadYaml(text))
  const thawed: string[] = []
  const visit = (value: unknown, path: string): void => {
    if (typeof value !== 'object' || value === null) return
    if (!Object.isFrozen(value)) thawed.push(path)
    if (!(value instanceof Secret)) for (const [name, item] of Object.entries(value)) visit(item, `${path}.${name}`)
  }
  visit(config, 'config')
  expect(thawed).toEqual([])
  expect(config.declared.keys[0]?.metadata).toEqual({ deep: [{ er: 1 }] })
})

test('a loader keeps the environment it was given and reads the file anew', () => {
  const environment: Record<string, string> = {
    LLMGW_CONFIG: '/c.yaml',
    LLMGW_PORT: '1',
    KEY: 'first-secret-of-twenty-chars',
  }
  const files = { '/c.yaml': 'keys: [{ name: a, secret: "${KEY}" }]' }
  const loader = createConfigLoader(environment, fileReader(files))
  environment.LLMGW_PORT = '2'
  environment.KEY = 'second-secret-of-twenty-chars'
  expect(configOf(loader.load()).settings.restPort).toBe(1)
  files['/c.yaml'] = 'keys: [{ name: b, secret: "${KEY}" }]'
  const [key] = configOf(loader.load()).declared.keys
  expect([key?.name, key?.secret?.reveal()]).toEqual(['b', 'first-secret-of-twenty-chars'])
})

test('another process loads the same from the files that were read, secrets and all', () => {
  const files: Record<string, string> = {
    'llmgw.yaml': 'providers: [{ name: openai, type: openai, credentials: { apiKey: { fromFile: /run/key } } }]',
    '/run/key': 'sk-from-a-file\n',
    '/run/pepper': 'ab'.repeat(32),
  }
  const environment = { LLMGW_CONFIG: 'llmgw.yaml', LLMGW_KEY_PEPPER_FILE: '/run/pepper' }
  const loader = createConfigLoader(environment, fileReader(files))
  const config = configOf(loader.load())
  const read = loader.filesRead()
  expect(Object.fromEntries(read)).toEqual(files)

  files['llmgw.yaml'] = 'nonsense: true'
  expect(loader.load().ok).toBe(false)
  expect(read.get('llmgw.yaml')).toContain('openai') // what was taken earlier does not change
  const copy = configOf(createConfigLoader(environment, fileReader(Object.fromEntries(read))).load())
  expect(formatConfig(copy)).toBe(formatConfig(config))
  const [provider] = copy.declared.providers
  expect(provider?.credentials.apiKey?.reveal()).toBe('sk-from-a-file')
})

test('keys that may be read on their way are warned of, unless there is TLS or nobody in between', () => {
  const warned = (environment: Environment) => {
    const loaded = loadConfig(environment)
    return loaded.ok && loaded.warnings.map(({ path }) => path)
  }
  expect(warned({ LLMGW_HOST: '0.0.0.0' })).toEqual(['grpc.tls'])
  for (const host of ['127.0.0.1', '::1', 'localhost']) expect(warned({ LLMGW_HOST: host })).toEqual([])
})
