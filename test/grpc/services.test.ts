import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client, credentials, type ServiceDefinition } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { describe, expect, test } from 'vitest'
import { checkPolicies } from '../../src/proxy/grpc/method-policies.ts'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'
import { GrpcClient, packageDefinition } from '../support/grpc.ts'

const unimplemented = 12

describe('health', () => {
  test('is told to anybody, for each service and for all', async () => {
    await using gateway = await openTestGateway()
    using client = new GrpcClient(`127.0.0.1:${gateway.app.grpc.port}`, 'sk-none')
    for (const service of ['', 'ChatService', 'EmbeddingService', 'ModelService']) {
      expect(await client.health(service && `thinkpixel.llmgw.v1.${service}`)).toBe('SERVING')
    }
    await expect(client.health('no.such.Service')).rejects.toMatchObject({ code: 5 })
  })
})

/** What reflection says the services are. */
async function reflected(gateway: TestGateway): Promise<string[]> {
  const folder = join(fileURLToPath(import.meta.resolve('@grpc/reflection')), '../../proto')
  const loaded = loadSync('grpc/reflection/v1/reflection.proto', { includeDirs: [folder] })
  const service = loaded['grpc.reflection.v1.ServerReflection'] as ServiceDefinition
  const method = service.ServerReflectionInfo as ServiceDefinition[string]
  const client = new Client(`127.0.0.1:${gateway.app.grpc.port}`, credentials.createInsecure())
  try {
    const call = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize)
    call.write({ listServices: '' })
    const answer = await new Promise<{ listServicesResponse?: { service: { name: string }[] } }>((resolve, reject) => {
      call.on('data', resolve)
      call.on('error', reject)
    })
    call.end()
    return (answer.listServicesResponse?.service ?? []).map(({ name }) => name).sort()
  } finally {
    client.close()
  }
}

describe('reflection', () => {
  test('is off with a database of the operator, which is what production has', async () => {
    await using gateway = await openTestGateway()
    await expect(reflected(gateway)).rejects.toMatchObject({ code: unimplemented })
  })

  test('tells the contract where it is switched on', async () => {
    await using gateway = await openTestGateway({ file: { grpc: { reflection: true } } })
    expect(await reflected(gateway)).toEqual(
      expect.arrayContaining(
        ['ChatService', 'EmbeddingService', 'ModelService'].map((name) => `thinkpixel.llmgw.v1.${name}`),
      ),
    )
  })
})

describe('policies', () => {
  const chat = packageDefinition['thinkpixel.llmgw.v1.ChatService'] as ServiceDefinition

  test('there is one for every method of the contract', () => {
    for (const name of ['ChatService', 'EmbeddingService', 'ModelService']) {
      expect(() => checkPolicies(packageDefinition[`thinkpixel.llmgw.v1.${name}`] as ServiceDefinition)).not.toThrow()
    }
  })

  test('a method without one stops the start, and is named', () => {
    const path = '/thinkpixel.llmgw.v1.ChatService/Forgotten'
    const grown = { ...chat, Forgotten: { ...chat.Complete, path } } as ServiceDefinition
    expect(() => checkPolicies(grown)).toThrow(path)
  })
})
