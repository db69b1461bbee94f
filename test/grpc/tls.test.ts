import { readFileSync } from 'node:fs'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { credentials } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'
import { detailsOf, GrpcClient } from '../support/grpc.ts'

const pem = (name: string): string => readFileSync(join(import.meta.dirname, '../support/tls', `${name}.pem`), 'utf8')
const bytes = (name: string): Buffer => Buffer.from(pem(name))

const tls = {
  certificate: pem('server.cert'),
  key: pem('server.key'),
  clientCa: pem('ca.cert'),
}
const unauthenticated = 16
const unavailable = 14

const security = (client?: string) =>
  credentials.createSsl(
    bytes('ca.cert'),
    client ? bytes(`client-${client}.key`) : null,
    client ? bytes(`client-${client}.cert`) : null,
  )

/** @param client - whose certificate it shows */
const clientOf = (gateway: TestGateway, client?: string): GrpcClient =>
  new GrpcClient(`127.0.0.1:${gateway.app.grpc.port}`, gateway.keySecret, security(client))

const keys = [
  { name: 'billing-service', secret: 'tls-suite-billing-0123456789' },
  { name: 'disabled-service', secret: 'tls-suite-disabled-0123456789', enabled: false },
]

describe('certificates that stand for keys', () => {
  let gateway: TestGateway
  const grpcOf = (certificateKeys: object[]) => ({ keys, grpc: { tls, certificateKeys } })
  beforeAll(async () => {
    gateway = await openTestGateway({ file: grpcOf([]) })
  })
  afterAll(() => gateway?.close())

  test.for([
    [{ subject: 'CN=billing' }],
    [{ subject: 'CN=billing,O=Acme' }],
    [{ san: 'URI:spiffe://acme/billing' }],
    [{ san: 'DNS:billing.internal' }],
  ])('%j: the calls are those of the key', async ([named]) => {
    expect(await gateway.reload(grpcOf([{ ...named, key: 'billing-service' }]))).toEqual([])
    using client = clientOf(gateway, 'billing')
    const { code, messages } = await client.complete({ model: 'demo/demo-chat' }, { key: null })
    expect(code).toBe(0)
    await gateway.settledRecord(messages[0]?.summary?.requestId ?? '')
    const { rows } = await gateway.pool.query(
      'select k.name from usage_records r join api_keys k on k.id = r.key_id where r.request_id = $1',
      [messages[0]?.summary?.requestId],
    )
    expect(rows).toEqual([{ name: 'billing-service' }])
  })

  test.for([
    ['that stands for none', 'stranger', 'billing-service', 'invalid_api_key'],
    ['of a key that is disabled', 'billing', 'disabled-service', 'key_revoked'],
    ['of a key that is not there', 'billing', 'no-such-service', 'invalid_api_key'],
    ['that another authority has signed', 'forged', 'billing-service', 'invalid_api_key'],
    ['that is not there', undefined, 'billing-service', 'invalid_api_key'],
  ] as const)('a certificate %s is refused', async ([, shown, key, reason]) => {
    await gateway.reload(grpcOf([{ subject: 'CN=billing,O=Acme', key }]))
    using client = clientOf(gateway, shown)
    const refused = await client.complete({ model: 'demo/demo-chat' }, { key: null })
    expect([refused.code, detailsOf(refused).ErrorInfo?.reason]).toEqual([unauthenticated, reason])
  })

  test('a subject counts with all its attributes', async () => {
    await gateway.reload(grpcOf([{ subject: 'CN=billing,O=Other', key: 'billing-service' }]))
    using client = clientOf(gateway, 'billing')
    expect((await client.complete({ model: 'demo/demo-chat' }, { key: null })).code).toBe(unauthenticated)
  })

  test('an API key is enough, and goes before the certificate', async () => {
    await gateway.reload(grpcOf([{ subject: 'CN=billing', key: 'disabled-service' }]))
    for (const shown of [undefined, 'billing']) {
      using client = clientOf(gateway, shown)
      expect((await client.complete({ model: 'demo/demo-chat' })).code).toBe(0)
    }
  })

  test('a key that is disabled while its certificate is in use takes effect', async () => {
    const named = [{ subject: 'CN=billing', key: 'billing-service' }]
    await gateway.reload(grpcOf(named))
    using client = clientOf(gateway, 'billing')
    expect((await client.complete({ model: 'demo/demo-chat' }, { key: null })).code).toBe(0)
    const [billing, other] = keys
    const file = { ...grpcOf(named), keys: [{ ...billing, enabled: false }, other] }
    await gateway.reload(file)
    const refused = await client.complete({ model: 'demo/demo-chat' }, { key: null })
    expect(detailsOf(refused).ErrorInfo?.reason).toBe('key_revoked')
  })
})

test('where certificates are required, who has none does not get as far as a call', async () => {
  await using gateway = await openTestGateway({ file: { grpc: { tls: { ...tls, requireClientCertificate: true } } } })
  for (const shown of [undefined, 'forged']) {
    using client = clientOf(gateway, shown)
    expect((await client.complete({ model: 'demo/demo-chat' }, { deadlineMs: 5_000 })).code).toBe(unavailable)
  }
  using client = clientOf(gateway, 'billing')
  expect((await client.complete({ model: 'demo/demo-chat' })).code).toBe(0)
})

test('a client that speaks plain text to a listener with TLS, and the other way round, gets no answer', async () => {
  await using secure = await openTestGateway({ file: { grpc: { tls } } })
  using plain = new GrpcClient(`127.0.0.1:${secure.app.grpc.port}`, secure.keySecret)
  expect((await plain.complete({}, { deadlineMs: 5_000 })).code).toBe(unavailable)
  await using open = await openTestGateway()
  using encrypting = clientOf(open)
  expect((await encrypting.complete({}, { deadlineMs: 5_000 })).code).toBe(unavailable)
})

/** Serial number of the certificate that a new connection is shown. */
const shownBy = (gateway: TestGateway): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket: TLSSocket = connect(
      { port: gateway.app.grpc.port, host: '127.0.0.1', ca: tls.clientCa, ALPNProtocols: ['h2'] },
      () => {
        resolve(socket.getPeerCertificate().serialNumber)
        socket.destroy()
      },
    )
    socket.once('error', reject)
  })

test('a renewed certificate is shown to new connections; streams on the old ones go on', async () => {
  await using gateway = await openTestGateway({ file: { grpc: { tls } } })
  using client = clientOf(gateway)
  const before = await shownBy(gateway)
  const goOn = Promise.withResolvers<void>()
  gateway.upstream.answer(async (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: {"choices":[{"index":0,"delta":{"content":"one"}}]}\n\n')
    await goOn.promise
    response.end('data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
  })
  const stream = client.stream()
  await gateway.upstream.seen(1)
  const renewed = { ...tls, certificate: pem('server-renewed.cert'), key: pem('server-renewed.key') }
  expect(await gateway.reload({ grpc: { tls: renewed } })).toEqual([])
  expect(await shownBy(gateway)).not.toBe(before)
  goOn.resolve()
  expect((await stream.outcome).code).toBe(0)
})

test('files of certificates are among those that are read again when they change', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'llmgw-tls-'))
  try {
    const { createConfigLoader } = await import('../../src/config/load-config.ts')
    const config = join(folder, 'llmgw.json')
    const place = async (name: string, from: string) => {
      await writeFile(join(folder, `${name}.new`), pem(from))
      await rename(join(folder, `${name}.new`), join(folder, name))
    }
    await place('tls.crt', 'server.cert')
    await place('tls.key', 'server.key')
    const fromFile = (name: string) => ({ fromFile: join(folder, name) })
    await writeFile(
      config,
      JSON.stringify({ grpc: { tls: { certificate: fromFile('tls.crt'), key: fromFile('tls.key') } } }),
    )
    const loader = createConfigLoader({ LLMGW_CONFIG: config })
    const shown = (loaded: ReturnType<typeof loader.load>) => loaded.ok && loaded.config.grpc.tls?.certificate.reveal()
    expect(shown(loader.load())).toBe(pem('server.cert').trimEnd())
    expect([...loader.secretFiles().keys()]).toEqual([join(folder, 'tls.crt'), join(folder, 'tls.key')])
    await place('tls.crt', 'server-renewed.cert')
    // Half of it is there: the pair does not fit, and what was in force stays so.
    expect(loader.loadSecrets()).toMatchObject({ ok: false, problems: [{ path: 'grpc.tls.certificate' }] })
    await place('tls.key', 'server-renewed.key')
    expect(shown(loader.loadSecrets())).toBe(pem('server-renewed.cert').trimEnd())
  } finally {
    await rm(folder, { recursive: true })
  }
})
