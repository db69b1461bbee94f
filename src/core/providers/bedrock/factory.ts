import { type ProviderFactory, requiredBaseUrl, textSetting, unsupportedParametersOf } from '../provider-factory.ts'

export const createBedrock: ProviderFactory = async (source, { client }) => {
  // A tenth of a second to load, which is paid by those who use it.
  const [{ createBedrockClient }, { createBedrockProvider }] = await Promise.all([
    import('./client.ts'),
    import('./provider.ts'),
  ])
  const region = textSetting(source, 'region')
  if (region === undefined) throw new Error(`The provider ${source.name} has no region.`)
  const endpoint = requiredBaseUrl(source)
  // The SDK connects when it is used; whether it may is told now.
  const origin = client.openOrigin(endpoint)
  await origin.close()
  const agents = client.openAgents()
  const { credentials } = source
  return createBedrockProvider({
    name: source.name,
    timeouts: source.timeouts,
    client: createBedrockClient(
      {
        region,
        endpoint,
        credentials,
        profile: textSetting(source, 'profile'),
        roleArn: textSetting(source, 'roleArn'),
      },
      agents,
    ),
    unsupportedParameters: unsupportedParametersOf(source),
    secrets: Object.values(credentials),
    close: () => agents.close(),
  })
}
