import { GatewayError } from '../../core/errors.ts'
import type { Pipeline } from '../../core/inference/pipeline.ts'
import type { Caller } from '../../core/keys/caller.ts'
import { type CertificateKey, keyOfCertificate } from '../../core/keys/certificate-keys.ts'
import { credentialOf } from './call-metadata.ts'
import type { ServerCall } from './open-call.ts'

export interface CallersDeps {
  authenticate: Pipeline['authenticate']
  /** The live key of this name. @throws GatewayError as `authenticate` does */
  callerNamed(keyName: string): Caller | Promise<Caller>
  certificateKeys(): readonly CertificateKey[]
}

/**
 * Who calls: the API key in the metadata; without one, the key that the verified client certificate stands for.
 *
 * @throws GatewayError as `Pipeline.authenticate`; `invalid_api_key` for a certificate that stands for no key
 */
export function callerOf(call: ServerCall, deps: CallersDeps): Caller | Promise<Caller> {
  const credential = credentialOf(call.metadata)
  // Only of certificates that an authority of ours has signed.
  const certificate = credential === undefined ? call.getAuthContext().sslPeerCertificate : undefined
  if (!certificate) return deps.authenticate(credential)
  const keyName = keyOfCertificate(certificate, deps.certificateKeys())
  if (keyName !== undefined) return deps.callerNamed(keyName)
  throw new GatewayError(
    'invalid_api_key',
    'The client certificate stands for no API key. Map it in grpc.certificateKeys, or send "authorization: Bearer <key>".',
  )
}
