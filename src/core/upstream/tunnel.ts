import http from 'node:http'
import https from 'node:https'
import type { Socket } from 'node:net'
import type { ProxyServer } from './proxies.ts'
import type { VettedLookup } from './vetted-lookup.ts'

export interface TunnelOptions {
  /** Of the target, that the proxy is asked to connect to. */
  hostname: string
  port: number
  /** For everything until the proxy has connected. */
  timeoutMs: number
  /** Resolves the name of the proxy. */
  lookup: VettedLookup
}

/**
 * A connection through a proxy, by CONNECT: what goes through it, credentials too, is seen by the target alone when it is
 * TLS. The proxy resolves the target's name.
 *
 * @throws Error, with a message fit to show, when there is no proxy there or it refuses
 */
export function openTunnel(proxy: ProxyServer, { hostname, port, timeoutMs, lookup }: TunnelOptions): Promise<Socket> {
  const at = `The proxy ${proxy.hostname}:${proxy.port}`
  const target = `${hostname.includes(':') && !hostname.startsWith('[') ? `[${hostname}]` : hostname}:${port}`
  return new Promise((resolve, reject) => {
    const request = (proxy.protocol === 'https:' ? https : http).request({
      method: 'CONNECT',
      host: proxy.hostname,
      port: proxy.port,
      path: target,
      headers: {
        host: target,
        ...(proxy.authorization === undefined ? {} : { 'proxy-authorization': proxy.authorization }),
      },
      agent: false,
      lookup: lookup as never,
    })
    const timer = setTimeout(
      () => request.destroy(new Error(`${at} did not connect to ${target} within ${timeoutMs} ms.`)),
      timeoutMs,
    )
    request.once('connect', ({ statusCode }, socket, head) => {
      clearTimeout(timer)
      if (statusCode !== 200) {
        socket.destroy()
        reject(new Error(refusalOf(at, target, statusCode)))
        return
      }
      if (head.length > 0) socket.unshift(head)
      resolve((socket as Socket).setNoDelay(true))
    })
    request.once('error', (cause) => {
      clearTimeout(timer)
      const code = 'code' in cause ? ` (${cause.code})` : ''
      const message = cause.message.startsWith(at) ? cause.message : `${at} could not be reached${code}.`
      reject(new Error(message, { cause }))
    })
    request.end()
  })
}

function refusalOf(at: string, target: string, status: number | undefined): string {
  if (status === 407)
    return `${at} wants other credentials (HTTP 407); set them in its URL, in HTTPS_PROXY or HTTP_PROXY.`
  return `${at} did not connect to ${target} (HTTP ${status}); allow it there, or name the host in NO_PROXY.`
}
