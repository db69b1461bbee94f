import { z } from 'zod'
import { headerCredential } from '../../core/providers/credentials.ts'
import { baseUrlField, credentialCheck, headerValueCheck, secretField } from '../schema-fields.ts'
import { commonFields, type DeclaredContent, given } from './provider-fields.ts'

export const openAiBaseUrl = 'https://api.openai.com/v1'

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
    ...commonFields,
    type: z.literal('openai').describe('OpenAI, or an upstream that speaks exactly its protocol.'),
    baseUrl: baseUrlField().default(openAiBaseUrl).describe('Where the API is, version included.'),
    ...openAiFields,
  })
  .superRefine(checkAuthorization)

export const openAiCompatibleSchema = z
  .strictObject({
    ...commonFields,
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

/** How either stands in the declared configuration. */
export function declaredOpenAi(
  provider: z.output<typeof openAiSchema> | z.output<typeof openAiCompatibleSchema>,
): DeclaredContent {
  const { type, baseUrl, organization, project } = provider
  const headers = Object.entries(provider.headers).map(([name, value]) => [headerCredential(name), value] as const)
  return {
    type,
    baseUrl,
    settings: given({ organization, project, preset: type === 'openai-compatible' ? provider.preset : undefined }),
    credentials: given({ apiKey: provider.credentials.apiKey, ...Object.fromEntries(headers) }),
  }
}
