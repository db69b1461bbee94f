import { expect, test } from 'vitest'
import { type LoadConfigResult, loadConfig } from './load-config.ts'
import { formatProblems } from './problem.ts'

const load = (environment: Record<string, string>, file?: string): LoadConfigResult =>
  loadConfig(file === undefined ? environment : { ...environment, LLMGW_CONFIG: '/llmgw.yaml' }, () => file ?? '')

function problemsOf(result: LoadConfigResult): string[] {
  return result.ok ? [] : result.problems.map(({ path, message }) => `${path}: ${message}`)
}

function configOf(result: LoadConfigResult) {
  if (!result.ok) throw new Error(formatProblems(result.problems))
  return result.config
}

test.each<[string, Record<string, string>, object]>([
  [
    'a key of Azure OpenAI and its endpoint',
    { AZURE_OPENAI_ENDPOINT: 'https://mine.openai.azure.com/', AZURE_OPENAI_API_KEY: 'az-1', AZURE_CLIENT_ID: 'other' },
    { name: 'azure-openai', baseUrl: 'https://mine.openai.azure.com', credentials: { apiKey: 'az-1' } },
  ],
  [
    'an application of Entra',
    {
      AZURE_OPENAI_ENDPOINT: 'https://mine.openai.azure.com',
      AZURE_OPENAI_API_VERSION: 'v1',
      AZURE_TENANT_ID: 't',
      AZURE_CLIENT_ID: 'c',
      AZURE_CLIENT_SECRET: 's',
    },
    {
      name: 'azure-openai',
      settings: { apiVersion: 'v1' },
      credentials: { tenantId: 't', clientId: 'c', clientSecret: 's' },
    },
  ],
  [
    'access keys of AWS',
    { AWS_REGION: 'eu-central-1', AWS_ACCESS_KEY_ID: 'AKIA', AWS_SECRET_ACCESS_KEY: 'sk', AWS_SESSION_TOKEN: 'st' },
    {
      name: 'bedrock',
      baseUrl: 'https://bedrock-runtime.eu-central-1.amazonaws.com',
      settings: { region: 'eu-central-1' },
      credentials: { accessKeyId: 'AKIA', secretAccessKey: 'sk', sessionToken: 'st' },
    },
  ],
  [
    'a bearer token of Bedrock, which comes before access keys',
    { AWS_DEFAULT_REGION: 'us-east-1', AWS_BEARER_TOKEN_BEDROCK: 'bt', AWS_ACCESS_KEY_ID: 'AKIA', AWS_PROFILE: 'p' },
    { name: 'bedrock', credentials: { bearerToken: 'bt' } },
  ],
  [
    'a profile of AWS',
    { AWS_REGION: 'us-east-1', AWS_PROFILE: 'work' },
    { name: 'bedrock', settings: { profile: 'work' } },
  ],
  [
    'the role of a pod',
    { AWS_REGION: 'us-east-1', AWS_WEB_IDENTITY_TOKEN_FILE: '/var/run/token' },
    { name: 'bedrock', settings: { region: 'us-east-1' }, credentials: {} },
  ],
  [
    'a credentials file of Google Cloud and a project',
    {
      GOOGLE_APPLICATION_CREDENTIALS: '/adc.json',
      GOOGLE_CLOUD_PROJECT: 'mine',
      GOOGLE_CLOUD_LOCATION: 'europe-west4',
    },
    {
      name: 'vertex',
      baseUrl: 'https://europe-west4-aiplatform.googleapis.com/v1/projects/mine/locations/europe-west4',
      credentials: {},
    },
  ],
])('%s in the environment: a provider of the vendor', (_what, environment, expected) => {
  const { providers } = configOf(load(environment)).declared
  expect(providers.map(({ name }) => name).slice(1)).toEqual(['demo'])
  const [{ credentials, ...provider } = { credentials: {} }] = providers
  const shown = Object.fromEntries(Object.entries(credentials).map(([field, secret]) => [field, secret.reveal()]))
  expect({ ...provider, credentials: shown }).toMatchObject({ managedBy: 'environment', ...expected })
})

test('the project of Google Cloud is that of the credentials file, where it names one', () => {
  const environment = { GOOGLE_APPLICATION_CREDENTIALS: '/adc.json' }
  const read = (text: string) => loadConfig(environment, (path) => (path === '/adc.json' ? text : ''))
  const [vertex] = configOf(read('{ "type": "service_account", "project_id": "of-the-file" }')).declared.providers
  expect(vertex?.baseUrl).toContain('/projects/of-the-file/')
  for (const text of ['{ "type": "authorized_user" }', 'no JSON']) {
    const result = read(text)
    expect(configOf(result).declared.providers.map(({ name }) => name)).toEqual(['demo'])
    expect(result.ok && result.warnings).toEqual([
      { path: 'GOOGLE_APPLICATION_CREDENTIALS', message: 'has no effect without GOOGLE_CLOUD_PROJECT' },
    ])
  }
})

test.each<[Record<string, string>, string]>([
  [{ AZURE_OPENAI_API_KEY: 'k' }, 'AZURE_OPENAI_API_KEY: has no effect without AZURE_OPENAI_ENDPOINT'],
  [
    { AZURE_OPENAI_ENDPOINT: 'https://a.example', AZURE_TENANT_ID: 't' },
    'AZURE_OPENAI_ENDPOINT: has no effect without AZURE_OPENAI_API_KEY, or AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET',
  ],
  [{ AWS_PROFILE: 'p' }, 'AWS_PROFILE: has no effect without AWS_REGION'],
  [
    { AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'AKIA' },
    'AWS_ACCESS_KEY_ID: has no effect without AWS_SECRET_ACCESS_KEY',
  ],
  [
    { AWS_REGION: 'auto', AWS_ACCESS_KEY_ID: 'AKIA', AWS_SECRET_ACCESS_KEY: 's' },
    'AWS_ACCESS_KEY_ID: makes no provider: region: expected a region such as eu-central-1',
  ],
])('what is there for something else is a warning: %j', (environment, warning) => {
  const result = load(environment)
  expect(configOf(result).declared.providers.map(({ name }) => name)).toEqual(['demo'])
  expect(result.ok && result.warnings.map(({ path, message }) => `${path}: ${message}`)).toEqual([warning])
  const named = load(environment, 'aliases: [{ name: a, targets: [{ provider: bedrock, model: m }] }]')
  expect(problemsOf(named)).toEqual(['aliases[0].targets[0].provider: names no provider; expected demo'])
})
