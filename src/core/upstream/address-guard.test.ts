import { expect, test } from 'vitest'
import { createAddressGuard } from './address-guard.ts'

const refused = [
  '127.0.0.1',
  '10.1.2.3',
  '172.20.0.1',
  '192.168.1.1',
  '169.254.169.254',
  '100.100.0.1',
  '0.0.0.0',
  '224.0.0.1',
  '255.255.255.255',
  '::1',
  '::',
  'fe80::1',
  'fd00::1',
  'ff02::1',
  '::ffff:127.0.0.1',
  '::ffff:8.8.8.8',
]

test.each(refused)('%s is refused', (address) => {
  expect(createAddressGuard([]).refusal('host.example', address)).toContain('LLMGW_PRIVATE_UPSTREAMS')
})

test.each(['8.8.8.8', '1.1.1.1', '2606:4700::1111', '2001:4860:4860::8888'])('%s is a public address', (address) => {
  expect(createAddressGuard([]).refusal('host.example', address)).toBeUndefined()
})

test('ranges and hosts that the operator names are allowed, and nothing beside them', () => {
  const guard = createAddressGuard(['10.0.0.0/8', '::1', 'ollama.internal'])
  expect(guard.refusal('a.example', '10.9.9.9')).toBeUndefined()
  expect(guard.refusal('a.example', '::1')).toBeUndefined()
  expect(guard.refusal('ollama.internal', '192.168.0.9')).toBeUndefined()
  expect(guard.refusal('other.internal', '192.168.0.9')).toBeDefined()
  expect(guard.isAllowedPrivateHost('10.1.1.1')).toBe(true)
  expect(guard.isAllowedPrivateHost('[::1]')).toBe(true)
  expect(guard.isAllowedPrivateHost('OLLAMA.internal')).toBe(true)
  expect(guard.isAllowedPrivateHost('11.1.1.1')).toBe(false)
})

test('a name that resolves to a private address is refused at connect', async () => {
  const guard = createAddressGuard([])
  const error = await new Promise((resolve) => guard.lookup('localhost', { all: true }, (refusal) => resolve(refusal)))
  expect(error).toMatchObject({ code: 'ADDRESS_REFUSED' })
})

test('something that is neither host nor range is refused by name', () => {
  expect(() => createAddressGuard(['10.0.0.0/8', 'http://x'])).toThrow('http://x')
})
