import type { NetConnectOpts } from 'node:net'
import { openTcpProxy, type TcpProxy } from './tcp-proxy.ts'

/** A proxy in front of a PostgreSQL, and the URL by which a pool reaches the server through it. */
export interface PostgresProxy extends TcpProxy {
  url: string
}

export async function openPostgresProxy(url: string): Promise<PostgresProxy> {
  const proxy = await openTcpProxy(serverAddress(new URL(url)))
  const proxied = new URL(url)
  proxied.host = '127.0.0.1'
  proxied.port = String(proxy.port)
  return Object.assign(proxy, { url: proxied.href })
}

function serverAddress(url: URL): NetConnectOpts {
  const host = decodeURIComponent(url.hostname || url.searchParams.get('host') || '')
  const port = url.port || url.searchParams.get('port') || '5432'
  return host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port: Number(port) }
}
