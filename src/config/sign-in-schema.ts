import { z } from 'zod'
import { baseUrlField, credentialCheck, label, secretField, slug } from './schema-fields.ts'

const roleSchema = z
  .strictObject({
    group: label(200).describe('Name of the group, as the identity provider says it.'),
    role: z.enum(['viewer', 'editor', 'admin']).describe('What its members may do.'),
    organization: slug().optional().describe('Slug of the organization it holds in; everywhere without it.'),
    team: slug().optional().describe('Slug of a team in that organization, for which alone it holds.'),
  })
  .superRefine(({ organization, team }, context) => {
    if (team === undefined || organization !== undefined) return
    context.addIssue({
      code: 'custom',
      path: ['organization'],
      message: 'is missing; a team belongs to an organization',
    })
  })

const oidcSchema = z.strictObject({
  name: label(50).default('single sign-on').describe('What people are shown: "Sign in with …".'),
  issuer: baseUrlField().describe(
    'The issuer; its endpoints are discovered. Plain http only to `LLMGW_PRIVATE_UPSTREAMS`.',
  ),
  clientId: z
    .string()
    .regex(/^[\x21-\x7e]{1,200}$/, 'expected 1 to 200 visible ASCII characters')
    .describe('What the gateway is called there.'),
  clientSecret: secretField(credentialCheck).optional().describe('Absent for a public client.'),
  redirectUri: baseUrlField().describe(
    'Where people come back to: the address of the admin listener as browsers see it, and `/oidc/callback`.',
  ),
  scopes: z
    .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,100}$/, 'expected the name of a scope'))
    .min(1)
    .max(20)
    .default(['openid', 'email', 'profile'])
    .describe('What is asked for; `openid` and an email address are needed.'),
  groupsClaim: z
    .string()
    .regex(/^[\x21-\x7e]{1,200}$/, 'expected the name of a claim')
    .default('groups')
    .describe('The claim that lists the groups of a person.'),
  roles: z
    .array(roleSchema)
    .min(1)
    .max(1_000)
    .describe('What groups may do. Whoever is in none of them is not let in; roles are read anew at each sign-in.'),
})

export const adminSignInSchema = z
  .strictObject({
    oidc: oidcSchema.optional().describe('Sign-in at an identity provider, by OpenID Connect.'),
  })
  .prefault({})
  .describe('How administrators sign in, beside email address and password.')
