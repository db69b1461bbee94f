import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { onTestFailed } from 'vitest'
import { eventually } from '../../support/eventually.ts'
import { type FaultPostgres, startFaultPostgres } from './fault-postgres.ts'
import { type FaultRedis, startFaultRedis } from './fault-redis.ts'
import { createMoneyWatch, type MoneyWatch } from './money-watch.ts'
import { type FaultProvider, startProvider } from './provider.ts'
import { makeReplica, type Replica } from './replica.ts'
import { createTenants, type Tenant, type Tenants } from './tenants.ts'

/** Three gateways on one database and one Redis, and a provider whose journal is the truth. All real processes. */
export interface World extends AsyncDisposable {
  readonly replicas: readonly Replica[]
  readonly postgres: FaultPostgres
  readonly redis: FaultRedis
  readonly provider: FaultProvider
  readonly tenants: Tenants
  /** Looks every 10 ms whether a hard budget is overspent, all the time. */
  readonly watch: MoneyWatch
  /** Lets every replica learn the key, at no cost. */
  introduce(tenant: Tenant): Promise<void>
  /** To be called in a `beforeEach`: when the test fails, what the replicas complained about is printed. */
  explainFailures(): void
}

/** What a token of an answer of `models.byOutput` costs, in nano-dollars. */
export const outputNanoPerToken = 1_000_000n

export const models = {
  /** Costs nothing but for its answer, so that the worst case of a call is its output cap. */
  byOutput: 'scripted/by-output',
  /** Prompts cost, too. */
  priced: 'scripted/priced',
} as const

export interface WorldOptions {
  replicas?: number
  /** Beside what every gateway of a world gets. */
  config?: object
}

/** @throws when there is no redis-server on this machine */
export async function openWorld({ replicas: count = 3, config: more = {} }: WorldOptions = {}): Promise<World> {
  await using opening = new AsyncDisposableStack()
  const folder = await mkdtemp(path.join(tmpdir(), 'llmgw-faults-'))
  opening.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }))
  await mkdir(path.join(folder, 'postgres'))
  const [postgres, redis, provider] = await Promise.all([
    startFaultPostgres(folder),
    startFaultRedis(),
    startProvider(folder),
  ])
  opening.use(postgres)
  opening.use(redis)
  opening.use(provider)
  const pepper = randomBytes(32)
  const config = configFor(provider, more)
  const env = {
    DATABASE_URL: postgres.proxy.url,
    REDIS_URL: redis.url,
    LLMGW_KEY_PEPPER: pepper.toString('base64'),
    LLMGW_MASTER_KEY: randomBytes(32).toString('base64'),
    LLMGW_PRIVATE_UPSTREAMS: '127.0.0.1',
  }
  const make = async (name: string) => opening.use(await makeReplica(name, config, env))
  const replicas = await Promise.all(Array.from({ length: count }, (_, index) => make(String(index + 1))))
  // The first one migrates; the others would only wait for it, each with a core of its own to warm up.
  await replicas[0]?.start()
  await Promise.all(replicas.slice(1).map((replica) => replica.start()))
  const watch = opening.use(createMoneyWatch(postgres.pool))
  const resources = opening.move()
  return {
    replicas,
    postgres,
    redis,
    provider,
    watch,
    tenants: createTenants(postgres.pool, pepper),
    async introduce({ secret }) {
      const headers = { authorization: `Bearer ${secret}` }
      for (const { restUrl } of replicas) {
        await eventually('the key to be known', async () => {
          const response = await fetch(`${restUrl}/v1/models`, { headers })
          await response.text()
          return response.ok
        })
      }
    },
    explainFailures() {
      onTestFailed(() => {
        process.stderr.write(`${replicas.map((replica) => replica.complaints()).join('\n')}\n`)
      })
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

const configFor = (provider: FaultProvider, more: object): object => ({
  providers: [
    {
      name: 'scripted',
      type: 'openai',
      baseUrl: provider.baseUrl,
      credentials: { apiKey: 'sk-scripted-credential-0001' },
    },
  ],
  models: [
    // 1,000,000 nano-dollars a token.
    {
      provider: 'scripted',
      name: 'by-output',
      inputUsdPerMillion: 0,
      outputUsdPerMillion: 1_000,
      maxOutputTokens: 100,
    },
    { provider: 'scripted', name: 'priced', inputUsdPerMillion: 1, outputUsdPerMillion: 4, maxOutputTokens: 1_000 },
  ],
  catalog: { sync: 'off' },
  ...more,
})
