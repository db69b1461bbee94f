import { z } from 'zod'
import { providerTypes } from '../core/providers/provider.ts'
import {
  baseUrlField,
  credentialCheck,
  durationMs,
  headerValueCheck,
  providerName,
  secretField,
  wholeNumber,
} from './schema-fields.ts'

export const openAiBaseUrl = 'https://api.openai.com/v1'
export const demoDefaults = { tokensPerSecond: 50, latencyMs: 200 } as const

export const timeoutsSchema = z
  .strictObject({
    firstByteMs: durationMs().default(60_000).describe('Longest wait for the response headers.'),
    idleMs: durationMs().default(60_000).describe('Longest silence between two pieces of an answer.'),
    totalMs: durationMs().default(600_000).describe('Longest time a whole call may take.'),
  })
  .prefault({})
  .describe('How long to wait for this provider, in milliseconds.')

const common = {
  name: providerName().describe('Unique; also the prefix in `openai/gpt-4o-mini`.'),
  enabled: z.boolean().default(true).describe('Whether calls may go there.'),
  passthroughModels: z
    .boolean()
    .default(false)
    .describe('Pass on model names that neither the catalog nor `models` knows.'),
  timeouts: timeoutsSchema,
}

/** Set by the gateway itself for every call, or about one connection only. */
const ownHeaders: ReadonlySet<string> = new Set([
  'accept-encoding',
  'connection',
  'content-length',
  'content-type',
  'expect',
  'host',
  'keep-alive',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'user-agent',
  'x-client-request-id',
])

const openAiFields = {
  credentials: z
    .strictObject({
      apiKey: secretField(credentialCheck)
        .optional()
        .describe('Sent as a bearer token. May be absent for local servers.'),
    })
    .prefault({})
    .describe('What the provider knows the gateway by.'),
  organization: z
    .string()
    .regex(/^[\x21-\x7e]{1,200}$/, 'expected 1 to 200 visible ASCII characters')
    .optional()
    .describe('Sent as `OpenAI-Organization`.'),
  project: z
    .string()
    .regex(/^[\x21-\x7e]{1,200}$/, 'expected 1 to 200 visible ASCII characters')
    .optional()
    .describe('Sent as `OpenAI-Project`.'),
  headers: z
    .record(z.string(), secretField(headerValueCheck))
    .superRefine((headers, context) => {
      for (const name of Object.keys(headers)) {
        const message = headerProblem(name)
        if (message !== undefined) context.addIssue({ code: 'custom', path: [name], message })
      }
    })
    .default({})
    .describe('Constant headers for every call. Their values are handled as secrets.'),
}

function headerProblem(name: string): string | undefined {
  if (!/^[A-Za-z0-9-]{1,100}$/.test(name)) return 'expected a header name of letters, digits and dashes'
  return ownHeaders.has(name.toLowerCase()) ? 'is a header that the gateway sets itself' : undefined
}

interface Authorized {
  baseUrl: string
  credentials: { apiKey?: unknown }
  headers: Record<string, unknown>
}

/** Two credentials in one call, or none where one is surely needed. */
function checkAuthorization(provider: Authorized, context: z.RefinementCtx): void {
  const { apiKey } = provider.credentials
  const header = Object.keys(provider.headers).find((name) => name.toLowerCase() === 'authorization')
  if (apiKey !== undefined && header !== undefined) {
    context.addIssue({
      code: 'custom',
      path: ['headers', header],
      message: 'expected either this header or credentials.apiKey',
    })
  }
  if (apiKey === undefined && header === undefined && provider.baseUrl === openAiBaseUrl) {
    context.addIssue({
      code: 'custom',
      path: ['credentials', 'apiKey'],
      message: 'is missing; expected an API key of OpenAI',
    })
  }
}

export const openAiSchema = z
  .strictObject({
    ...common,
    type: z.literal('openai').describe('OpenAI, or an upstream that speaks exactly its protocol.'),
    baseUrl: baseUrlField().default(openAiBaseUrl).describe('Where the API is, version included.'),
    ...openAiFields,
  })
  .superRefine(checkAuthorization)

export const openAiCompatibleSchema = z
  .strictObject({
    ...common,
    type: z
      .literal('openai-compatible')
      .describe("An upstream that speaks OpenAI's protocol more or less; answers are tidied up."),
    baseUrl: baseUrlField().describe(
      'Where the API is, version included. Plain http only to `LLMGW_PRIVATE_UPSTREAMS`.',
    ),
    preset: z
      .string()
      .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'expected the name of a price catalog, such as groq or mistral')
      .optional()
      .describe('Whose models these are, such as `groq`: names the catalog that describes and prices them.'),
    ...openAiFields,
  })
  .superRefine(checkAuthorization)

export const demoSchema = z.strictObject({
  ...common,
  type: z
    .literal('demo')
    .describe('Answers by itself, for first steps and for measuring; serves `demo-chat` and `demo-embedding`.'),
  tokensPerSecond: wholeNumber(1, 1_000_000)
    .default(demoDefaults.tokensPerSecond)
    .describe('How fast an answer streams.'),
  latencyMs: wholeNumber(0, 60_000)
    .default(demoDefaults.latencyMs)
    .describe('How long until the first token, in milliseconds.'),
})

const available = ['openai', 'openai-compatible', 'demo'] as const

export const providerSchema = z.discriminatedUnion('type', [openAiSchema, openAiCompatibleSchema, demoSchema], {
  error: (issue) => {
    if (issue.code !== 'invalid_union') return undefined
    const type = (issue.input as { type?: unknown }).type
    const known = providerTypes.find((name) => name === type)
    const expected = `expected one of ${available.join(', ')}`
    return known ? `${known} is not available in this release; ${expected}` : expected
  },
})

export type FileProvider = z.output<typeof providerSchema>
