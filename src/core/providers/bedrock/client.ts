import { Transform } from 'node:stream'
import { BedrockRuntimeClient, type BedrockRuntimeClientConfig } from '@aws-sdk/client-bedrock-runtime'
import { fromIni, fromNodeProviderChain, fromTemporaryCredentials } from '@aws-sdk/credential-providers'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import type { GuardedAgents } from '../../upstream/guarded-agent.ts'
import type { Credentials } from '../credentials.ts'

export interface BedrockClientSettings {
  region: string
  endpoint: string
  /** By field; see `config/providers/bedrock.ts`. None at all stands for what this machine has. */
  credentials: Credentials
  profile: string | undefined
  roleArn: string | undefined
}

const connectTimeoutMs = 3_000
/** An answer of more than this is refused. */
const answerBytesMax = 32 * 1024 * 1024

/**
 * The AWS SDK, without what it does beside signing and framing: it does not retry, and every connection it makes, those
 * for credentials included, is made by the guarded agents.
 */
export function createBedrockClient(settings: BedrockClientSettings, agents: GuardedAgents): BedrockRuntimeClient {
  const { region, endpoint } = settings
  const requestHandler = new BoundedHandler({
    httpAgent: agents.httpAgent,
    httpsAgent: agents.httpsAgent,
    connectionTimeout: connectTimeoutMs,
  })
  return new BedrockRuntimeClient({
    region,
    endpoint,
    requestHandler,
    maxAttempts: 1,
    ...identityOf(settings, requestHandler),
  })
}

function identityOf(
  { region, credentials, profile, roleArn }: BedrockClientSettings,
  requestHandler: NodeHttpHandler,
): Partial<BedrockRuntimeClientConfig> {
  const { accessKeyId, secretAccessKey, sessionToken, bearerToken } = credentials
  if (bearerToken !== undefined) return { token: { token: bearerToken }, authSchemePreference: ['httpBearerAuth'] }
  const clientConfig = { region, requestHandler }
  const own =
    accessKeyId !== undefined && secretAccessKey !== undefined
      ? async () => ({ accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) })
      : profile !== undefined
        ? fromIni({ profile, clientConfig })
        : fromNodeProviderChain({ clientConfig })
  // Said outright, or a bearer token in the environment would win over the credentials that were configured.
  const authSchemePreference = ['sigv4']
  if (roleArn === undefined) return { credentials: own, authSchemePreference }
  const params = { RoleArn: roleArn, RoleSessionName: 'llmgw' }
  return {
    credentials: fromTemporaryCredentials({ masterCredentials: own, params, clientConfig }),
    authSchemePreference,
  }
}

/** The SDK collects bodies whole, however long they are; streams it hands on, and their frames are bounded. */
class BoundedHandler extends NodeHttpHandler {
  override async handle(...args: Parameters<NodeHttpHandler['handle']>): ReturnType<NodeHttpHandler['handle']> {
    const { response } = await super.handle(...args)
    const type = String(response.headers['content-type'] ?? '')
    if (type.startsWith('application/vnd.amazon.eventstream')) return { response }
    let bytes = 0
    const bounded = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        bytes += chunk.length
        if (bytes > answerBytesMax) done(new Error('The event stream or body has more than 32 MiB.'))
        else done(null, chunk)
      },
    })
    response.body.on('error', (error: Error) => bounded.destroy(error))
    response.body.pipe(bounded)
    response.body = bounded
    return { response }
  }
}
