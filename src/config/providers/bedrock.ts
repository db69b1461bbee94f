import { z } from 'zod'
import { baseUrlField, credentialCheck, secretField } from '../schema-fields.ts'
import { commonFields, type DeclaredContent, given, translatedFields } from './provider-fields.ts'

export const bedrockSchema = z
  .strictObject({
    ...commonFields,
    type: z.literal('bedrock').describe('Amazon Bedrock: Converse, and the embeddings of Titan and Cohere.'),
    baseUrl: baseUrlField()
      .optional()
      .describe('The endpoint, such as that of a VPC; the one of the region unless given.'),
    region: z
      .string()
      .regex(/^[a-z]{2}(?:-[a-z]+)+-\d$/, 'expected a region such as eu-central-1')
      .describe('Where models run, and what requests are signed for.'),
    credentials: z
      .strictObject({
        accessKeyId: secretField(credentialCheck).optional().describe('Of an IAM user or role.'),
        secretAccessKey: secretField(credentialCheck).optional().describe('Belongs to `accessKeyId`.'),
        sessionToken: secretField(credentialCheck).optional().describe('Of temporary credentials.'),
        bearerToken: secretField(credentialCheck).optional().describe('An API key of Bedrock, instead of these.'),
      })
      .prefault({})
      .describe(
        'Without any, those of the machine: environment, shared files, web identity, container or instance role.',
      ),
    profile: z
      .string()
      .regex(/^[^\s\p{Cc}]{1,128}$/u, 'expected the name of a profile')
      .optional()
      .describe("A profile of the machine's shared AWS files, instead of `credentials`."),
    roleArn: z
      .string()
      .regex(/^arn:aws[a-z-]*:iam::\d{12}:role\/[\w+=,.@/-]{1,512}$/, 'expected the ARN of a role')
      .optional()
      .describe('A role that is assumed with the credentials.'),
    ...translatedFields,
  })
  .superRefine(({ credentials, profile, roleArn }, context) => {
    const { accessKeyId, secretAccessKey, sessionToken, bearerToken } = credentials
    const report = (path: string[], message: string): void => context.addIssue({ code: 'custom', path, message })
    const hasKeys = accessKeyId !== undefined || secretAccessKey !== undefined || sessionToken !== undefined
    if (hasKeys && accessKeyId === undefined) report(['credentials', 'accessKeyId'], 'is missing')
    if (hasKeys && secretAccessKey === undefined) report(['credentials', 'secretAccessKey'], 'is missing')
    if (bearerToken !== undefined && hasKeys)
      report(['credentials', 'bearerToken'], 'expected either this or access keys')
    if (profile !== undefined && (hasKeys || bearerToken !== undefined)) {
      report(['profile'], 'expected either this or credentials')
    }
    if (roleArn !== undefined && bearerToken !== undefined) report(['roleArn'], 'cannot be assumed with a bearer token')
  })

export const declaredBedrock = ({
  type,
  baseUrl,
  region,
  credentials,
  profile,
  roleArn,
  unsupportedParameters,
}: z.output<typeof bedrockSchema>): DeclaredContent => {
  const domain = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com'
  return {
    type,
    baseUrl: baseUrl ?? `https://bedrock-runtime.${region}.${domain}`,
    settings: given({ region, profile, roleArn, unsupportedParameters }),
    credentials: given({ ...credentials }),
  }
}
