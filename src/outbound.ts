import type { EnvironmentSettings } from './config/environment.ts'
import { createAddressGuard } from './core/upstream/address-guard.ts'
import { createProxies } from './core/upstream/proxies.ts'
import { createUpstreamClient, type UpstreamClient } from './core/upstream/upstream-client.ts'

/** The way out of a process, as its environment has it. */
export function openWayOut({
  privateUpstreams,
  proxies: { http, https, direct },
}: Pick<EnvironmentSettings, 'privateUpstreams' | 'proxies'>): UpstreamClient {
  const proxies = createProxies({ http: http?.reveal(), https: https?.reveal(), direct })
  return createUpstreamClient(createAddressGuard(privateUpstreams), { proxies })
}
