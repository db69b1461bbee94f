import type { PeerCertificate } from 'node:tls'
import { describe, expect, test } from 'vitest'
import { keyOfCertificate, subjectAttributes } from './certificate-keys.ts'

const certificate = (subject: object, subjectaltname = ''): Pick<PeerCertificate, 'subject' | 'subjectaltname'> => ({
  subject: subject as PeerCertificate['subject'],
  subjectaltname,
})

describe('subjects', () => {
  const acme = certificate({ CN: 'billing', O: 'Acme', OU: ['eu', 'live'] })
  test.each([
    ['CN=billing', 'k'],
    ['O=Acme, CN=billing', 'k'],
    ['OU=live', 'k'],
    ['CN=bill', undefined],
    ['CN=Billing', undefined],
    ['CN=billing,O=Other', undefined],
    ['', undefined],
  ])('%s', (subject, key) => {
    expect(keyOfCertificate(acme, [{ subject, key: 'k' }])).toBe(key)
  })

  test('are read as attributes, or not at all', () => {
    expect(subjectAttributes('CN=a b,O=c=d')).toEqual([
      ['CN', 'a b'],
      ['O', 'c=d'],
    ])
    for (const text of ['', 'billing', 'CN=', '=x', 'CN=a,']) expect(subjectAttributes(text)).toBeUndefined()
  })
})

describe('alternative names', () => {
  const names = certificate({}, 'DNS:a.internal, URI:spiffe://acme/b, DNS:"evil, DNS:c.internal", IP Address:10.0.0.1')
  test.each([
    ['DNS:a.internal', 'k'],
    ['URI:spiffe://acme/b', 'k'],
    ['IP Address:10.0.0.1', 'k'],
    ['DNS:a', undefined],
    ['a.internal', undefined],
    // Inside of another name.
    ['DNS:c.internal', undefined],
  ])('%s', (san, key) => {
    expect(keyOfCertificate(names, [{ san, key: 'k' }])).toBe(key)
  })
})

test('the first one that fits counts', () => {
  const both = certificate({ CN: 'a' }, 'DNS:a')
  expect(
    keyOfCertificate(both, [
      { subject: 'CN=b', key: '0' },
      { san: 'DNS:a', key: '1' },
      { subject: 'CN=a', key: '2' },
    ]),
  ).toBe('1')
})
