import { describe, expect, test } from 'vitest'
import { createAddressGuard } from './address-guard.ts'

const special = [
  '127.0.0.1',
  '127.255.255.254',
  '10.1.2.3',
  '172.20.0.1',
  '192.168.1.1',
  '169.254.1.1',
  '100.100.0.1',
  '0.0.0.0',
  '192.0.2.1',
  '198.18.0.1',
  '224.0.0.1',
  '239.255.255.255',
  '255.255.255.255',
  '::1',
  '::',
  '0:0:0:0:0:0:0:1',
  '::127.0.0.1',
  '::8.8.8.8',
  'fe80::1',
  'fe80::1%eth0',
  '2606:4700::1111%1',
  'fec0::1',
  'fd00::1',
  'FC00::1',
  'ff02::1',
  '2001::1',
  '2001:0:4136:e378:8000:63bf:3fff:fdd2',
  '2002:7f00:1::',
  '2002:808:808::1',
  '2001:db8::1',
  '3fff::1',
  '5f00::1',
  '64:ff9b::127.0.0.1',
  '64:ff9b::a01:203',
  '64:ff9b:1::808:808',
  '::ffff:127.0.0.1',
  '::ffff:7f00:1',
  '::ffff:8.8.8.8',
  '::ffff:0:127.0.0.1',
]

describe('addresses', () => {
  test.each(special)('%s is refused, and the reason says what to set', (address) => {
    const reason = createAddressGuard([]).refusal('host.example', address)
    expect(reason).toBe(
      `host.example has the address ${address}, which is not a public address; name it in LLMGW_PRIVATE_UPSTREAMS to allow it.`,
    )
  })

  test.each([
    '8.8.8.8',
    '1.1.1.1',
    '100.63.255.255',
    '172.32.0.1',
    '2606:4700::1111',
    '2001:4860:4860::8888',
    '64:ff9b::8.8.8.8',
  ])('%s is a public one', (address) => {
    expect(createAddressGuard([]).refusal('host.example', address)).toBeUndefined()
  })

  test.each([
    '169.254.169.254',
    '169.254.170.2',
    '100.100.100.200',
    '168.63.129.16',
    'fd00:ec2::254',
    'fd00:ec2:0:0::254',
    '::ffff:169.254.169.254',
    '::ffff:a9fe:a9fe',
    '::169.254.169.254',
    '64:ff9b::a9fe:a9fe',
    '2002:a9fe:a9fe::1',
  ])('credentials of the machine at %s are opened neither by a range nor by a name', (address) => {
    const guard = createAddressGuard(['0.0.0.0/0', '::/0', 'host.example'])
    expect(guard.refusal('host.example', address)).toContain('only this very address')
    expect(createAddressGuard([address]).refusal('host.example', address)).toBeUndefined()
  })
})

describe('what the operator names', () => {
  test('ranges and hosts are allowed, and nothing beside them', () => {
    const guard = createAddressGuard(['10.0.0.0/8', '::1', 'ollama.internal', 'fd00::/8'])
    expect(guard.refusal('a.example', '10.9.9.9')).toBeUndefined()
    expect(guard.refusal('a.example', '11.9.9.9')).toBeUndefined()
    expect(guard.refusal('a.example', '::1')).toBeUndefined()
    expect(guard.refusal('a.example', '::2')).toBeDefined()
    expect(guard.refusal('a.example', 'fd12::1')).toBeUndefined()
    expect(guard.refusal('ollama.internal', '192.168.0.9')).toBeUndefined()
    expect(guard.refusal('Ollama.Internal.', '192.168.0.9')).toBeUndefined()
    expect(guard.refusal('other.internal', '192.168.0.9')).toBeDefined()
    expect(guard.refusal('ollama.internal.evil.example', '192.168.0.9')).toBeDefined()
    expect(guard.isAllowedPrivateHost('10.1.1.1')).toBe(true)
    expect(guard.isAllowedPrivateHost('[::1]')).toBe(true)
    expect(guard.isAllowedPrivateHost('OLLAMA.internal')).toBe(true)
    expect(guard.isAllowedPrivateHost('11.1.1.1')).toBe(false)
  })

  test('an IPv4 range does not open the forms of IPv6 that carry it', () => {
    const guard = createAddressGuard(['10.0.0.0/8'])
    for (const address of ['::ffff:10.0.0.1', '::10.0.0.1', '64:ff9b::10.0.0.1', '2002:a00:1::']) {
      expect(guard.refusal('a.example', address)).toBeDefined()
    }
  })

  test.each(['http://x', '10.0.0.0/x', '10.0.0.0/', 'host/8', '10/8', '10.0.0.1:8000', 'a b', '10.0.0.0/33'])(
    '%s is neither',
    (entry) => {
      expect(() => createAddressGuard(['10.0.0.0/8', entry])).toThrow(RangeError)
    },
  )
})

describe('targets', () => {
  const refusal = (url: string, allowed: string[] = []): string | undefined => {
    const { protocol, hostname, port } = new URL(url)
    return createAddressGuard(allowed).targetRefusal({ protocol, hostname, port: port ? Number(port) : undefined })
  }

  test.each([
    'https://127.0.0.1',
    'https://127.1',
    'https://2130706433',
    'https://0x7f000001',
    'https://0x7f.1',
    'https://0177.0.0.1',
    'https://017700000001',
    'https://127.0.0.1.',
    'https://[::1]',
    'https://[::ffff:127.0.0.1]',
    'https://[0:0::1]',
    'https://10.0.0.1',
  ])('%s is refused before anything is resolved', (url) => {
    expect(refusal(url)).toContain('is not a public address')
  })

  test.each(['0x7f.1', '0177.1', '2130706433', '127.1', '127.0.0.1.', '①27.0.0.1'])(
    'the host %s is an address in another notation, also where no URL parser has seen it',
    (hostname) => {
      const guard = createAddressGuard([])
      expect(guard.targetRefusal({ protocol: 'https:', hostname, port: 443 })).toContain('is not a public address')
    },
  )

  test.each(['https://localhost', 'https://LOCALHOST.', 'https://a.localhost', 'https://a.localhost.'])(
    '%s is this machine',
    (url) => {
      expect(refusal(url)).toContain('is this machine')
      expect(refusal(url, [new URL(url).hostname])).toBeUndefined()
    },
  )

  test('anything but https on port 443 is for hosts that the operator names', () => {
    expect(refusal('https://api.example')).toBeUndefined()
    expect(refusal('https://notlocalhost')).toBeUndefined()
    expect(refusal('http://api.example')).toContain('must be reached by https; name it in LLMGW_PRIVATE_UPSTREAMS')
    expect(refusal('https://api.example:22')).toContain('must be reached on port 443')
    expect(refusal('http://api.example:8000', ['api.example'])).toBeUndefined()
    expect(refusal('http://10.1.2.3:8000', ['10.0.0.0/8'])).toBeUndefined()
    expect(refusal('http://169.254.169.254', ['0.0.0.0/0'])).toContain('only this very address')
  })
})
