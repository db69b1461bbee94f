import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { baseUrlField, credentialCheck, type SecretCheck, secretField } from '../schema-fields.ts'
import { commonFields, type DeclaredContent, given, translatedFields } from './provider-fields.ts'

/** A credentials file has lines in it. */
const serviceAccountCheck: SecretCheck = (text) => {
  const expected = 'expected the JSON of a service account key: type, client_email and private_key'
  if (text.length > 64 * 1024) return expected
  try {
    const { type, client_email, private_key } = JSON.parse(text)
    const isOne = type === 'service_account' && typeof client_email === 'string' && typeof private_key === 'string'
    return isOne ? undefined : expected
  } catch {
    return expected
  }
}

export const vertexSchema = z
  .strictObject({
    ...commonFields,
    type: z.literal('vertex').describe('Gemini models of Vertex AI, with an account of Google Cloud.'),
    baseUrl: baseUrlField()
      .optional()
      .describe('The address of a location, project included; made from `project` and `location` unless given.'),
    project: z
      .string()
      .regex(/^[a-z0-9][a-z0-9.:-]{0,99}$/, 'expected the id of a project')
      .optional()
      .describe('The project that is billed.'),
    location: z
      .string()
      .regex(/^[a-z][a-z0-9-]{1,39}$/, 'expected a location such as global or europe-west4')
      .default('global')
      .describe('Where models run.'),
    credentials: z
      .strictObject({
        serviceAccountJson: secretField(serviceAccountCheck).optional().describe('The key file of a service account.'),
        accessToken: secretField(credentialCheck)
          .optional()
          .describe('A token as it is, for trying things out: it expires.'),
      })
      .prefault({})
      .describe(
        "Without either, the credentials of the machine: `GOOGLE_APPLICATION_CREDENTIALS`, gcloud's own, or its metadata server (workload identity).",
      ),
    tokenUrl: baseUrlField()
      .optional()
      .describe('Where a service account gets its tokens, instead of what its key says.'),
    ...translatedFields,
  })
  .superRefine(({ baseUrl, project, credentials }, context) => {
    if (baseUrl === undefined && project === undefined) {
      context.addIssue({ code: 'custom', path: ['project'], message: 'is missing; expected the id of a project' })
    }
    if (credentials.accessToken !== undefined && credentials.serviceAccountJson !== undefined) {
      context.addIssue({
        code: 'custom',
        path: ['credentials', 'accessToken'],
        message: 'expected either this or serviceAccountJson',
      })
    }
  })

export const declaredVertex = ({
  type,
  baseUrl,
  project,
  location,
  credentials,
  tokenUrl,
  unsupportedParameters,
}: z.output<typeof vertexSchema>): DeclaredContent => {
  const host = location === 'global' ? 'aiplatform.googleapis.com' : `${location}-aiplatform.googleapis.com`
  const hasOwn = credentials.serviceAccountJson !== undefined || credentials.accessToken !== undefined
  return {
    type,
    baseUrl: baseUrl ?? `https://${host}/v1/projects/${project}/locations/${location}`,
    settings: given({
      project,
      location,
      tokenUrl,
      unsupportedParameters,
      credentialsFile: hasOwn ? undefined : defaultCredentialsFile(),
    }),
    credentials: given({ ...credentials }),
  }
}

/** https://cloud.google.com/docs/authentication/application-default-credentials#order */
function defaultCredentialsFile(): string | undefined {
  const named = process.env.GOOGLE_APPLICATION_CREDENTIALS
  if (named) return named
  const ofGcloud = join(homedir(), '.config/gcloud/application_default_credentials.json')
  return existsSync(ofGcloud) ? ofGcloud : undefined
}
