import { createSecureContext } from 'node:tls'

/** How the listener identifies itself and its clients; each text is PEM. */
export interface TlsSettings {
  certificate: string
  key: string
  /** Authorities whose client certificates count; undefined asks clients for none. */
  clientCa: string | undefined
  /** Turns clients away that have none of these. */
  requireClientCertificate: boolean
}

/** @returns what is wrong with a certificate and its key, or with the authorities of clients, in words without them */
export function tlsProblem(settings: Pick<TlsSettings, 'certificate' | 'key' | 'clientCa'>): string | undefined {
  const { certificate, key, clientCa } = settings
  try {
    createSecureContext({ cert: certificate, key, ...(clientCa !== undefined && { ca: clientCa }) })
    return undefined
  } catch {
    return 'expected a certificate and the key that belongs to it, each in PEM'
  }
}
