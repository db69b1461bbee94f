import { z } from 'zod'
import { subjectAttributes } from '../core/keys/certificate-keys.ts'
import { tlsProblem } from '../core/tls-settings.ts'
import { label, type SecretCheck, secretField } from './schema-fields.ts'

const pemCheck: SecretCheck = (text) =>
  /-----BEGIN [A-Z ]+-----[\s\S]+-----END [A-Z ]+-----/.test(text) ? undefined : 'expected PEM, "-----BEGIN …-----"'

const tlsSchema = z
  .strictObject({
    certificate: secretField(pemCheck).describe('The certificate and those between it and its authority, in PEM.'),
    key: secretField(pemCheck).describe('Its private key, in PEM.'),
    clientCa: secretField(pemCheck)
      .optional()
      .describe('Authorities in PEM: clients with a certificate of theirs may call with it instead of an API key.'),
    requireClientCertificate: z
      .boolean()
      .default(false)
      .describe('Whether clients without such a certificate are turned away.'),
  })
  .superRefine(({ certificate, key, clientCa, requireClientCertificate }, context) => {
    if (requireClientCertificate && !clientCa) {
      context.addIssue({
        code: 'custom',
        path: ['clientCa'],
        message: 'is missing: certificates of whom are required?',
      })
    }
    const pem = { certificate: certificate.reveal(), key: key.reveal(), clientCa: clientCa?.reveal() }
    const message = tlsProblem(pem)
    if (message) context.addIssue({ code: 'custom', path: ['certificate'], message })
  })

const certificateKeySchema = z
  .strictObject({
    subject: z
      .string()
      .max(1_000)
      .refine((text) => subjectAttributes(text) !== undefined, 'expected attributes such as CN=billing,O=Acme')
      .optional()
      .describe('Attributes that the subject of the certificate must have, such as `CN=billing,O=Acme`.'),
    san: z
      .string()
      .regex(/^(DNS|URI|email|IP Address):[\x21-\x7e]{1,500}$/, 'expected a name such as DNS:billing.internal')
      .optional()
      .describe('Instead: a name that it must have, such as `DNS:billing.internal` or `URI:spiffe://acme/billing`.'),
    key: label(100).describe('Name of the virtual key that it stands for.'),
  })
  .superRefine(({ subject, san }, context) => {
    if ((subject === undefined) === (san === undefined)) {
      context.addIssue({ code: 'custom', path: ['subject'], message: 'expected either subject or san' })
    }
  })

export const grpcSchema = z
  .strictObject({
    tls: tlsSchema
      .optional()
      .describe('Without it the gRPC listener speaks plain text. Files are read again when they change.'),
    certificateKeys: z
      .array(certificateKeySchema)
      .max(10_000)
      .default([])
      .describe('What client certificates stand for which keys; the first one that fits counts.'),
    reflection: z
      .boolean()
      .optional()
      .describe('Whether clients may ask for the contract; by default only with the built-in database.'),
  })
  .prefault({})
  .describe('The gRPC listener.')
