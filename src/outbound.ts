import type { EnvironmentSettings } from './config/environment.ts'
import type { Log } from './core/log.ts'
import { createAddressGuard } from './core/upstream/address-guard.ts'
import { createProxies, type Proxies } from './core/upstream/proxies.ts'
import { createUpstreamClient, type UpstreamClient } from './core/upstream/upstream-client.ts'

/**
 * The way out of a process, as its environment has it.
 *
 * @param log - left out where whoever asks is told anyway, as on the command line
 */
export function openWayOut(
  { privateUpstreams, proxies }: Pick<EnvironmentSettings, 'privateUpstreams' | 'proxies'>,
  log?: Log,
): UpstreamClient {
  return createUpstreamClient(createAddressGuard(privateUpstreams), {
    proxies: proxiesOf(proxies),
    ...(log && { log }),
  })
}

export const proxiesOf = ({ http, https, direct }: EnvironmentSettings['proxies']): Proxies =>
  createProxies({ http: http?.reveal(), https: https?.reveal(), direct })
