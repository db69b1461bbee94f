import { z } from 'zod'
import { baseUrlField, credentialCheck, modelName, secretField } from '../schema-fields.ts'
import { commonFields, type DeclaredContent, given } from './provider-fields.ts'

export const azureOpenAiSchema = z
  .strictObject({
    ...commonFields,
    type: z.literal('azure-openai').describe('Azure OpenAI: models are deployments of a resource.'),
    baseUrl: baseUrlField().describe('The endpoint of the resource, such as `https://my-resource.openai.azure.com`.'),
    credentials: z
      .strictObject({
        apiKey: secretField(credentialCheck).optional().describe('Sent as `api-key`.'),
        tenantId: secretField(credentialCheck).optional().describe('Of Microsoft Entra, instead of a key.'),
        clientId: secretField(credentialCheck).optional().describe('The application.'),
        clientSecret: secretField(credentialCheck).optional().describe('Its secret.'),
      })
      .describe('A key, or an application of Microsoft Entra: `tenantId`, `clientId` and `clientSecret`.'),
    apiVersion: z
      .string()
      .regex(/^(?:v1|\d{4}-\d{2}-\d{2}(?:-preview)?)$/, 'expected v1, or a date such as 2024-10-21')
      .default('2024-10-21')
      .describe("Sent as `api-version`; `v1` for the API that has OpenAI's own paths."),
    deployments: z
      .record(modelName(), modelName())
      .default({})
      .describe('Deployments by the name of their model. A model that is not here is its own deployment.'),
    authorityHost: baseUrlField().optional().describe('Where Entra gives tokens; `https://login.microsoftonline.com`.'),
  })
  .superRefine(({ credentials: { apiKey, ...application } }, context) => {
    const missing = Object.keys(applicationFields).filter(
      (name) => application[name as keyof typeof application] === undefined,
    )
    const isApplication = missing.length < 3
    if (apiKey !== undefined && isApplication) {
      context.addIssue({
        code: 'custom',
        path: ['credentials', 'apiKey'],
        message: 'expected either this or an application of Entra',
      })
    } else if (apiKey === undefined && missing.length > 0) {
      const [first = 'apiKey'] = isApplication ? missing : ['apiKey']
      const message = isApplication
        ? 'is missing'
        : 'is missing; expected a key, or tenantId, clientId and clientSecret'
      context.addIssue({ code: 'custom', path: ['credentials', first], message })
    }
  })

const applicationFields = { tenantId: true, clientId: true, clientSecret: true } as const

export const declaredAzureOpenAi = ({
  type,
  baseUrl,
  credentials,
  apiVersion,
  deployments,
  authorityHost,
}: z.output<typeof azureOpenAiSchema>): DeclaredContent => ({
  type,
  baseUrl,
  settings: given<unknown>({
    apiVersion,
    deployments: Object.keys(deployments).length > 0 ? deployments : undefined,
    authorityHost,
  }),
  credentials: given({ ...credentials }),
})
