import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'

const pem = (name: string): string =>
  readFileSync(join(import.meta.dirname, 'tls', `models.invalid.${name}.pem`), 'utf8')

/**
 * A server on 127.0.0.1 that answers every https request with the host it was asked for. Its certificate is for
 * `models.invalid` and signed by itself; this process trusts it from now on.
 */
export async function startTlsUpstream() {
  setDefaultCACertificates([...getCACertificates('default'), pem('cert')])
  const hosts: string[] = []
  const seen = { connections: 0, hosts }
  const server = createServer({ key: pem('key'), cert: pem('cert') }, ({ headers }, response) => {
    hosts.push(String(headers.host))
    response.end(`for ${headers.host}`)
  })
  server.on('secureConnection', () => seen.connections++)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}
