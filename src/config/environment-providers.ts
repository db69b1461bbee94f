import { z } from 'zod'
import type { ProviderType } from '../core/providers/provider.ts'
import type { Secret } from '../core/secret.ts'
import type { ConfigProblem } from './problem.ts'
import { contentOf, providerSchema } from './provider-schema.ts'
import { anthropicBaseUrl } from './providers/anthropic.ts'
import { geminiBaseUrl } from './providers/gemini.ts'
import { openAiBaseUrl } from './providers/openai.ts'
import type { DeclaredContent } from './providers/provider-fields.ts'
import { baseUrlField, credentialCheck, secretField } from './schema-fields.ts'

/**
 * Providers that the variables of the vendors' own tools make: the names are theirs. What is not enough to make one is a
 * warning and no mistake, for the variables may be there for something else.
 */
export const providerVariables = {
  OPENAI_API_KEY: secretField(credentialCheck).optional().describe(creates('openai')),
  OPENAI_BASE_URL: baseUrlField()
    .default(openAiBaseUrl)
    .describe('Where the provider that OPENAI_API_KEY creates is reached.'),
  ANTHROPIC_API_KEY: secretField(credentialCheck).optional().describe(creates('anthropic')),
  ANTHROPIC_BASE_URL: baseUrlField()
    .default(anthropicBaseUrl)
    .describe('Where the provider that ANTHROPIC_API_KEY creates is reached.'),
  GEMINI_API_KEY: secretField(credentialCheck).optional().describe(creates('gemini')),
  GEMINI_BASE_URL: baseUrlField()
    .default(geminiBaseUrl)
    .describe('Where the provider that GEMINI_API_KEY creates is reached.'),
  AZURE_OPENAI_ENDPOINT: baseUrlField()
    .optional()
    .describe(
      `With a key, or AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET: ${creates('azure-openai').toLowerCase()} Models are deployments of the same name.`,
    ),
  AZURE_OPENAI_API_KEY: secretField(credentialCheck).optional().describe('The key of that resource.'),
  AZURE_OPENAI_API_VERSION: z.string().optional().describe('Its `api-version`; `2024-10-21` without it.'),
  AZURE_TENANT_ID: z.string().optional().describe('Of Microsoft Entra, for AZURE_OPENAI_ENDPOINT without a key.'),
  AZURE_CLIENT_ID: z.string().optional().describe('The application of Entra.'),
  AZURE_CLIENT_SECRET: secretField(credentialCheck).optional().describe('Its secret.'),
  AWS_REGION: z
    .string()
    .optional()
    .describe(
      `With AWS_BEARER_TOKEN_BEDROCK, access keys, AWS_PROFILE or AWS_WEB_IDENTITY_TOKEN_FILE: ${creates('bedrock').toLowerCase()}`,
    ),
  AWS_DEFAULT_REGION: z.string().optional().describe('The same, where AWS_REGION is not set.'),
  AWS_BEARER_TOKEN_BEDROCK: secretField(credentialCheck).optional().describe('An API key of Bedrock.'),
  AWS_ACCESS_KEY_ID: secretField(credentialCheck).optional().describe('Of an IAM user or role.'),
  AWS_SECRET_ACCESS_KEY: secretField(credentialCheck).optional().describe('Belongs to AWS_ACCESS_KEY_ID.'),
  AWS_SESSION_TOKEN: secretField(credentialCheck).optional().describe('Of temporary credentials.'),
  AWS_PROFILE: z.string().optional().describe("A profile of the machine's shared AWS files."),
  AWS_WEB_IDENTITY_TOKEN_FILE: z
    .string()
    .optional()
    .describe('Set by EKS for a pod with a role: the AWS SDK finds the rest.'),
  AWS_ENDPOINT_URL_BEDROCK_RUNTIME: baseUrlField()
    .optional()
    .describe('Where Bedrock is reached, such as a VPC endpoint; that of the region without it.'),
  GOOGLE_APPLICATION_CREDENTIALS: z
    .string()
    .optional()
    .describe(`Path of a credentials file of Google Cloud. ${creates('vertex')}`),
  GOOGLE_CLOUD_PROJECT: z.string().optional().describe('The project that is billed; that of the file without it.'),
  GOOGLE_CLOUD_LOCATION: z.string().default('global').describe('Where models of Vertex AI run.'),
}

export const providerSecretVariables = [
  'OPENAI_API_KEY',
  'ANTHROPIC_API_KEY',
  'GEMINI_API_KEY',
  'AZURE_OPENAI_API_KEY',
  'AZURE_CLIENT_SECRET',
  'AWS_BEARER_TOKEN_BEDROCK',
  'AWS_ACCESS_KEY_ID',
  'AWS_SECRET_ACCESS_KEY',
  'AWS_SESSION_TOKEN',
] as const

type Variables = z.output<z.ZodObject<typeof providerVariables>>
type VariableName = keyof typeof providerVariables

export interface EnvironmentProvider {
  /** Also its name. */
  readonly type: ProviderType
  readonly content: DeclaredContent
  /** The variable that the base URL comes from, or would come from. */
  readonly urlVariable: VariableName
}

interface Lacking {
  lacks: string
}

/** What makes a provider of one type. */
interface Source {
  type: ProviderType
  urlVariable: VariableName
  /** Any of them says that the provider is wanted. */
  wantedBy: readonly VariableName[]
  /** @returns the fields that the config file would have, or the variables that are missing */
  fields(variables: Variables, readFile: (path: string) => string): Readonly<Record<string, unknown>> | Lacking
}

const keyed = (
  type: ProviderType,
  keyVariable: 'OPENAI_API_KEY' | 'ANTHROPIC_API_KEY' | 'GEMINI_API_KEY',
  urlVariable: 'OPENAI_BASE_URL' | 'ANTHROPIC_BASE_URL' | 'GEMINI_BASE_URL',
): Source => ({
  type,
  urlVariable,
  wantedBy: [keyVariable],
  fields: (variables) => ({ baseUrl: variables[urlVariable], credentials: { apiKey: variables[keyVariable] } }),
})

const sources: readonly Source[] = [
  keyed('openai', 'OPENAI_API_KEY', 'OPENAI_BASE_URL'),
  keyed('anthropic', 'ANTHROPIC_API_KEY', 'ANTHROPIC_BASE_URL'),
  keyed('gemini', 'GEMINI_API_KEY', 'GEMINI_BASE_URL'),
  {
    type: 'azure-openai',
    urlVariable: 'AZURE_OPENAI_ENDPOINT',
    wantedBy: ['AZURE_OPENAI_ENDPOINT', 'AZURE_OPENAI_API_KEY'],
    fields: azureFields,
  },
  {
    type: 'bedrock',
    urlVariable: 'AWS_ENDPOINT_URL_BEDROCK_RUNTIME',
    wantedBy: ['AWS_BEARER_TOKEN_BEDROCK', 'AWS_ACCESS_KEY_ID', 'AWS_PROFILE', 'AWS_WEB_IDENTITY_TOKEN_FILE'],
    fields: bedrockFields,
  },
  {
    type: 'vertex',
    urlVariable: 'GOOGLE_CLOUD_LOCATION',
    wantedBy: ['GOOGLE_APPLICATION_CREDENTIALS'],
    fields: vertexFields,
  },
]

function azureFields(variables: Variables) {
  const {
    AZURE_OPENAI_ENDPOINT: baseUrl,
    AZURE_OPENAI_API_KEY: apiKey,
    AZURE_OPENAI_API_VERSION: apiVersion,
  } = variables
  if (baseUrl === undefined) return { lacks: 'AZURE_OPENAI_ENDPOINT' }
  const { AZURE_TENANT_ID: tenantId, AZURE_CLIENT_ID: clientId, AZURE_CLIENT_SECRET: clientSecret } = variables
  if (apiKey === undefined && (!tenantId || !clientId || !clientSecret)) {
    return { lacks: 'AZURE_OPENAI_API_KEY, or AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET' }
  }
  return { baseUrl, apiVersion, credentials: apiKey ? { apiKey } : { tenantId, clientId, clientSecret } }
}

/** In the order in which the AWS SDK would take them. */
function bedrockFields(variables: Variables) {
  const region = variables.AWS_REGION ?? variables.AWS_DEFAULT_REGION
  const { AWS_BEARER_TOKEN_BEDROCK: bearerToken, AWS_ACCESS_KEY_ID: accessKeyId, AWS_PROFILE: profile } = variables
  const { AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_SESSION_TOKEN: sessionToken } = variables
  if (region === undefined) return { lacks: 'AWS_REGION' }
  const place = { region, baseUrl: variables.AWS_ENDPOINT_URL_BEDROCK_RUNTIME }
  if (bearerToken) return { ...place, credentials: { bearerToken } }
  if (!accessKeyId) return { ...place, profile }
  if (!secretAccessKey) return { lacks: 'AWS_SECRET_ACCESS_KEY' }
  return { ...place, credentials: { accessKeyId, secretAccessKey, sessionToken } }
}

function vertexFields(variables: Variables, readFile: (path: string) => string) {
  const { GOOGLE_APPLICATION_CREDENTIALS: path = '', GOOGLE_CLOUD_LOCATION: location } = variables
  const project = variables.GOOGLE_CLOUD_PROJECT ?? projectIn(path, readFile)
  return project === undefined ? { lacks: 'GOOGLE_CLOUD_PROJECT' } : { project, location }
}

/** @returns undefined also when the file cannot be read: the provider says so when it is called */
function projectIn(path: string, readFile: (path: string) => string): string | undefined {
  try {
    const { project_id, quota_project_id } = JSON.parse(readFile(path))
    return [project_id, quota_project_id].find((id) => typeof id === 'string')
  } catch {
    return undefined
  }
}

/** The providers that the variables make, and what is set in vain. */
export function environmentProvidersOf(
  variables: Variables,
  readFile: (path: string) => string,
): { providers: EnvironmentProvider[]; idle: ConfigProblem[] } {
  const providers: EnvironmentProvider[] = []
  const idle: ConfigProblem[] = []
  for (const { type, urlVariable, wantedBy, fields } of sources) {
    const [wanted] = wantedBy.filter((name) => variables[name] !== undefined)
    if (wanted === undefined) continue
    const found = fields(variables, readFile)
    if ('lacks' in found) {
      idle.push({ path: wanted, message: `has no effect without ${found.lacks}` })
      continue
    }
    const parsed = providerSchema.safeParse({ name: type, type, ...defined(found) })
    if (parsed.success) providers.push({ type, urlVariable, content: contentOf(parsed.data) })
    else idle.push({ path: wanted, message: `makes no provider: ${parsed.error.issues.map(inWords).join('; ')}` })
  }
  return { providers, idle }
}

/** Names no value: one of them may be a secret in the wrong place. */
const inWords = ({ path, message }: { path: PropertyKey[]; message: string }): string => `${path.join('.')}: ${message}`

const defined = (fields: object): object =>
  Object.fromEntries(
    Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, isPlain(value) ? defined(value) : value]),
  )

const isPlain = (value: unknown): value is Record<string, Secret | string | undefined> =>
  typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype

type Environment = Readonly<Record<string, string | undefined>>

const isSet = (environment: Environment, name: string): boolean =>
  Boolean(environment[name] || environment[`${name}_FILE`])

/** Their names, as far as can be told while something else of the environment is wrong. */
export const likelyEnvironmentProviders = (environment: Environment): string[] =>
  sources.filter(({ wantedBy }) => wantedBy.some((name) => isSet(environment, name))).map(({ type }) => type)

/** Base URLs of providers whose keys are not set. */
export const idleUrls = (environment: Environment): ConfigProblem[] =>
  sources.flatMap(({ urlVariable, wantedBy: [keyVariable = ''], type }) =>
    keyedTypes.includes(type) && environment[urlVariable] && !isSet(environment, keyVariable)
      ? [{ path: urlVariable, message: `has no effect without ${keyVariable}` }]
      : [],
  )

const keyedTypes: readonly ProviderType[] = ['openai', 'anthropic', 'gemini']

function creates(name: string): string {
  return `Creates the provider \`${name}\`, unless the file declares one of that name.`
}
