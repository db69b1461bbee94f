import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import type { Environment } from './environment.ts'
import { formatConfig, type LoadConfigResult, loadConfig } from './load-config.ts'
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

function configOf(result: LoadConfigResult) {
  if (!result.ok) throw new Error(formatProblems(result.problems))
  return result.config
}

test('secrets in their places are readable by call alone', () => {
  const secrets = {
    DATABASE_URL: 'postgres://u:secret-one@db/x',
    REDIS_URL: 'redis+cluster://u:secret-six@r:7000,r:7001',
    LLMGW_MASTER_KEY: 'a'.repeat(64),
    LLMGW_KEY_PEPPER: 'b'.repeat(64),
    OPENAI_API_KEY: 'sk-secret-two',
  }
  const text = `providers:
    - { name: x, type: openai-compatible, baseUrl: 'https://x.example', credentials: { apiKey: sk-secret-three }, headers: { x-key: secret-four } }
keys: [{ name: k, secret: secret-five-of-twenty-chars }]`
  const config = configOf(loadYaml(text, secrets))
  expect(config.settings.databaseUrl?.reveal()).toBe(secrets.DATABASE_URL)
  const printed = [
    formatConfig(config),
    JSON.stringify(config.declared.providers),
    inspect(config, { depth: 20, showHidden: true }),
    `${config.settings.masterKey} ${config.settings.keyPepper}`,
  ].join('\n')
  expect(printed).toContain('[secret]')
  for (const secret of [
    'secret-one',
    'secret-two',
    'secret-three',
    'secret-four',
    'secret-five',
    'secret-six',
    'aaaa',
    'bbbb',
  ]) {
    expect(printed).not.toContain(secret)
  }
})

const planted = 'sk-planted-secret-1234567890'

/** Every place in a file where text can stand, with the planted secret in it. */
function plantedFiles(): string[] {
  const whole = {
    providers: [
      {
        name: 'a',
        type: 'openai-compatible',
        baseUrl: 'https://a.example',
        enabled: true,
        timeouts: { idleMs: 1 },
        credentials: { apiKey: 'k' },
        organization: 'o',
        project: 'p',
        headers: { 'x-a': 'b' },
      },
      { name: 'd', type: 'demo', tokensPerSecond: 1 },
    ],
    models: [{ provider: 'a', name: 'm', mode: 'chat', inputUsdPerMillion: 1, outputUsdPerMillion: 1, tiers: [] }],
    aliases: [{ name: 's', targets: [{ provider: 'a', model: 'm', weight: 1 }] }],
    keys: [
      {
        name: 'k',
        secret: 'aaaaaaaaaaaaaaaaaaaa',
        organization: 'o',
        team: 't',
        allowedModels: ['s'],
        expiresAt: '2030-01-01T00:00:00Z',
        rateLimits: { requestsPerMinute: 1 },
        budgets: [{ amountUsd: 1, period: 'day', timeZone: 'UTC' }],
        tags: { a: 'b' },
      },
    ],
    budgets: [
      { organization: 'o', tag: { name: 'a', value: 'b' }, amountUsd: 1, period: 'day', timeZone: 'UTC' },
      {
        organization: 'o',
        team: 't',
        amountUsd: 1,
        period: 'day',
        temporaryIncrease: { amountUsd: 1, until: '2030-01-01T00:00:00Z' },
      },
    ],
    rateLimits: [{ organization: 'o', team: 't', requestsPerMinute: 1 }],
    unpricedModels: 'block',
    limits: { bodyBytes: 2000 },
    catalog: { sync: 'off', url: 'https://a.example' },
  }
  const files: string[] = []
  const plant = (value: unknown, replace: (planted: unknown) => void): void => {
    for (const wrong of [planted, [planted], `https://u:${planted}@h/?${planted}`]) {
      replace(wrong)
      files.push(JSON.stringify(whole))
    }
    replace(value)
    if (typeof value !== 'object' || value === null) return
    const members = value as Record<string, unknown>
    for (const [name, item] of Object.entries(members)) {
      plant(item, (wrong) => {
        members[name] = wrong
      })
    }
    if (Array.isArray(value)) return
    members.unheardOf = planted
    files.push(JSON.stringify(whole))
    delete members.unheardOf
  }
  for (const [name, item] of Object.entries(whole)) {
    plant(item, (wrong) => {
      ;(whole as Record<string, unknown>)[name] = wrong
    })
  }
  return files
}

test('a secret in the wrong place is never repeated, wherever it stands', { timeout: 30_000 }, () => {
  const files = plantedFiles()
  expect(files.length).toBeGreaterThan(150)
  const substituted = files
    .filter((_text, index) => index % 3 === 0)
    .map((text) => text.replaceAll(planted, '${PLANTED}'))
  const refused = [...files, ...substituted]
    .map((text) => loadYaml(text, { PLANTED: planted }))
    .flatMap((result) => (result.ok ? [] : formatProblems(result.problems)))
  expect(refused.length).toBeGreaterThan(150)
  // The one name that a message may list is that of a provider, which stands in URLs, metrics and model names.
  const revealing = refused.filter(
    (text) => text.includes(planted) && !/names no provider; expected .*sk-planted/.test(text),
  )
  expect(revealing).toEqual([])
})

test('secrets in the environment are not repeated either', () => {
  for (const name of [
    'LLMGW_PORT',
    'LLMGW_HOST',
    'LLMGW_MASTER_KEY',
    'LLMGW_KEY_PEPPER',
    'DATABASE_URL',
    'REDIS_URL',
    'LLMGW_REDIS_PREFIX',
    'OPENAI_BASE_URL',
    'LLMGW_PRIVATE_UPSTREAMS',
    'HTTPS_PROXY',
    'LLMGW_MIGRATE',
    'LLMGW_LOG_LEVEL',
    'LLMGW_DRAIN_DELAY_MS',
    'LLMGW_NEW',
    'LLMGW_CONFIG',
  ]) {
    const result = load({ [name]: `${planted} ?` })
    expect(result.ok, name).toBe(false)
    expect(JSON.stringify(result), name).not.toContain(planted)
  }
})
