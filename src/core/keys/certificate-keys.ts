import type { PeerCertificate } from 'node:tls'

/** Whose certificate stands for which key. Exactly one of `subject` and `san` is there. */
export interface CertificateKey {
  /** Attributes that the subject must have, such as `CN=billing,O=Acme`. */
  subject?: string | undefined
  /** An alternative name as it stands in certificates: `DNS:billing.internal`, `URI:spiffe://acme/billing`. */
  san?: string | undefined
  /** Name of the virtual key. */
  key: string
}

/** @returns the name of the first key that this certificate stands for; undefined when it stands for none */
export function keyOfCertificate(
  certificate: Pick<PeerCertificate, 'subject' | 'subjectaltname'>,
  keys: readonly CertificateKey[],
): string | undefined {
  const names = alternativeNamesOf(certificate.subjectaltname ?? '')
  return keys.find(({ subject, san }) =>
    san === undefined ? hasAttributes(certificate.subject, subject ?? '') : names.includes(san),
  )?.key
}

/** @returns `[type, value]` of each; undefined when the text is no list of attributes */
export function subjectAttributes(text: string): [string, string][] | undefined {
  const parts = text.split(',').map((part) => /^\s*([A-Za-z][A-Za-z0-9.]*)\s*=\s*(\S(?:.*\S)?)\s*$/.exec(part))
  return parts.every((part) => part !== null) ? parts.map(([, type = '', value = '']) => [type, value]) : undefined
}

function hasAttributes(subject: PeerCertificate['subject'], text: string): boolean {
  const attributes = subjectAttributes(text) ?? []
  const all = subject as unknown as Readonly<Record<string, string | string[] | undefined>>
  return (
    attributes.length > 0 &&
    attributes.every(([type, value]) => {
      const has = all[type]
      return Array.isArray(has) ? has.includes(value) : has === value
    })
  )
}

/** Node.js joins them with commas and writes those that have one of their own as JSON. */
function alternativeNamesOf(text: string): string[] {
  return [...text.matchAll(/([^:,\s][^:,]*):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/g)].map(([, type = '', value = '']) => {
    return `${type}:${value.startsWith('"') ? JSON.parse(value) : value}`
  })
}
