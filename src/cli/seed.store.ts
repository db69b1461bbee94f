import { hash, randomBytes } from 'node:crypto'
import type pg from 'pg'
import { nanoUsdFromDollars } from '../core/money.ts'
import { rollupTables } from '../core/usage/rollups.store.ts'
import { callsSql, type DayTotals, insertCallsSql, preparationSql } from './seed-calls.store.ts'
import { hoursOfShape, type SeedOrganization, type SeedScope, type SeedTeam, type SeedWorld } from './seed-world.ts'

export interface SeedStore {
  /** Zero only when there is none. */
  estimateUsage(): Promise<number>
  insertRouting(world: SeedWorld): Promise<void>
  insertTenants(world: SeedWorld): Promise<void>
  /** Opens budgets, and lays out in temporary tables who calls what how often. */
  prepareCalls(world: SeedWorld): Promise<void>
  insertDay(day: { startMs: number; first: number; count: number; hasIncident: boolean }): Promise<DayTotals>
  /** After the calls, since amounts follow from what was spent. */
  settleBudgets(): Promise<void>
  /** Lets the planner know; outside the transaction. */
  analyze(): Promise<void>
}

const dayMs = 86_400_000

export function createSeedStore(client: pg.ClientBase, { seed, nowMs }: { seed: number; nowMs: number }): SeedStore {
  /** The id of the thing of that name: a UUIDv7 of early 2026, the same on every run. */
  const idOf = (kind: string, name: string): string => {
    const digits = hash('sha256', `llmgw seed ${kind} ${name}`, 'hex')
    const time = (Date.UTC(2026, 0, 1) + Number.parseInt(digits.slice(0, 7), 16)).toString(16).padStart(12, '0')
    return `${time.slice(0, 8)}-${time.slice(8)}-7${digits.slice(8, 11)}-8${digits.slice(11, 14)}-${digits.slice(14, 26)}`
  }

  return {
    async estimateUsage() {
      const { rows } = await client.query<{ count: number }>(
        `select count(*)::int as count from (select from usage_records limit 1000000) sample`,
      )
      return rows[0]?.count ?? 0
    },

    async insertRouting(world) {
      for (const { name, type } of world.providers) {
        await client.query(
          `insert into providers (id, name, type, enabled, managed_by) values ($1, $2, $3, false, 'admin')
           on conflict (name) do nothing`,
          [idOf('provider', name), name, type],
        )
      }
      for (const model of world.models) {
        await client.query(
          `insert into models (id, catalog, name, mode, managed_by) values ($1, $2, $3, $4, 'admin')
           on conflict (provider_id, catalog, name) do nothing`,
          [idOf('model', `${model.catalog}/${model.name}`), model.catalog, model.name, model.mode ?? 'chat'],
        )
        const rates = Object.entries(model.usdPerMillion).map(([kind, usd]) => [kind, `${nanoUsdFromDollars(usd)}`])
        await client.query(
          `insert into model_prices (id, model_id, version, source, rates, effective_from)
           select $1, models.id, 1, 'admin', $4, timestamptz '2026-01-01 00:00:00+00'
           from models
           where models.catalog = $2 and models.name = $3 and models.provider_id is null
             and not exists (select from model_prices where model_prices.model_id = models.id)`,
          [
            idOf('price', `${model.catalog}/${model.name}`),
            model.catalog,
            model.name,
            { tables: [{ serviceTier: 'default', aboveInputTokens: 0, rates: Object.fromEntries(rates) }] },
          ],
        )
      }
      for (const alias of world.aliases) {
        const { rowCount } = await client.query(
          `insert into model_aliases (id, name, description, managed_by) values ($1, $2, $3, 'admin')
           on conflict (name) do nothing`,
          [idOf('alias', alias.name), alias.name, alias.description],
        )
        if (rowCount === 0) continue
        for (const target of alias.targets) {
          await client.query(
            `insert into alias_targets (id, alias_id, provider_id, model, weight, priority)
             select $1, $2, providers.id, $4, $5, $6 from providers where providers.name = $3`,
            [
              idOf('target', `${alias.name} ${target.provider}/${target.model}`),
              idOf('alias', alias.name),
              target.provider,
              target.model,
              target.weight ?? 1,
              target.priority ?? 0,
            ],
          )
        }
      }
    },

    async insertTenants(world) {
      for (const organization of world.organizations) {
        await client.query(
          'insert into organizations (id, slug, name) values ($1, $2, $3) on conflict (slug) do nothing',
          [idOf('organization', organization.slug), organization.slug, organization.name],
        )
        await insertRateLimit('organization', organization, organization.slug)
        for (const team of organization.teams) await insertTeam(organization, team)
      }
      for (const user of world.adminUsers) {
        await client.query(
          'insert into admin_users (id, email, display_name) values ($1, $2, $3) on conflict (email) do nothing',
          [idOf('admin', user.email), user.email, user.name],
        )
        await client.query(
          `insert into role_bindings (id, admin_user_id, role, organization_id, team_id)
           select $1, admin_users.id, $3, $4, $5 from admin_users where admin_users.email = $2
           on conflict do nothing`,
          [
            idOf('binding', user.email),
            user.email,
            user.role,
            user.organization ? idOf('organization', user.organization) : null,
            user.team ? idOf('team', user.team) : null,
          ],
        )
      }
    },

    async prepareCalls(world) {
      await client.query(preparationSql)
      for (const organization of world.organizations) {
        await openBudget('organization', organization, organization.slug)
        for (const team of organization.teams) {
          const teamName = `${organization.slug}/${team.slug}`
          await openBudget('team', team, teamName)
          for (const key of team.keys) await openBudget('key', key, `${teamName}/${key.name}`)
        }
      }
      const keys = world.organizations.flatMap((organization) =>
        organization.teams.flatMap((team) =>
          team.keys.map((key) => ({ key, team: `${organization.slug}/${team.slug}`, organization: organization.slug })),
        ),
      )
      const keyShares = shares(keys.map(({ key }) => key.weight))
      const rows = keys.map(({ key, team, organization }, index) => ({
        ...keyShares[index],
        n: index,
        key_id: idOf('key', `${team}/${key.name}`),
        organization_id: idOf('organization', organization),
        team_id: idOf('team', team),
        tags: tagsOf(team, key.env),
        operation: key.operation ?? 'chat',
        input_median: key.inputTokens,
        output_median: key.outputTokens,
        hours: cumulative(hoursOfShape[key.shape]),
      }))
      await client.query('insert into seed_keys select * from json_populate_recordset(null::seed_keys, $1)', [
        JSON.stringify(rows),
      ])
      const targets = keys.flatMap(({ key }, n) => {
        const names = Object.keys(key.targets).flatMap((name) => expand(world, name, key.targets[name] as number))
        const targetShares = shares(names.map(({ weight }) => weight))
        return names.map(({ weight: _weight, ...target }, index) => ({ ...target, ...targetShares[index], key_n: n }))
      })
      await client.query(
        `insert into seed_targets
         select target.*, price.id, rates.*
         from json_populate_recordset(null::seed_target, $1) target
         join models on models.catalog = target.catalog and models.name = target.model and models.provider_id is null
         cross join lateral (
           select id, rates -> 'tables' as tables from model_prices
           where model_prices.model_id = models.id order by version desc limit 1
         ) price
         cross join lateral (
           select (found ->> 'input')::numeric, coalesce(found ->> 'cache_read', found ->> 'input')::numeric,
             coalesce(found ->> 'output', '0')::numeric,
             coalesce(found ->> 'reasoning', found ->> 'output', '0')::numeric,
             coalesce(found ->> 'request', '0')::numeric, found ? 'cache_read'
           from (
             select t -> 'rates' as found from jsonb_array_elements(price.tables) t
             where t ->> 'serviceTier' = 'default' and t ->> 'aboveInputTokens' = '0'
           ) base
         ) rates (input_rate, cache_rate, output_rate, reasoning_rate, request_rate, caches)`,
        [JSON.stringify(targets)],
      )
    },

    async insertDay({ startMs, first, count, hasIncident }) {
      await client.query('truncate seed_calls')
      await client.query(callsSql, [new Date(startMs), first, count, String(seed), new Date(nowMs), hasIncident])
      const { rows } = await client.query<{ calls: string; attempts: string; ledger_entries: string; cost: string }>(
        insertCallsSql,
      )
      const [made] = rows
      return {
        calls: Number(made?.calls),
        attempts: Number(made?.attempts),
        ledgerEntries: Number(made?.ledger_entries),
        costNano: BigInt(made?.cost ?? 0),
      }
    },

    async settleBudgets() {
      await client.query(settleBudgetsSql)
    },

    async analyze() {
      const rollups = Object.values(rollupTables).map(({ name }) => name)
      await client.query(`analyze usage_records, usage_attempts, ledger_entries, ${rollups.join(', ')}`)
    },
  }

  async function insertTeam(organization: SeedOrganization, team: SeedTeam): Promise<void> {
    const teamName = `${organization.slug}/${team.slug}`
    await client.query(
      `insert into teams (id, organization_id, slug, name) values ($1, $2, $3, $4)
       on conflict (organization_id, slug) do nothing`,
      [idOf('team', teamName), idOf('organization', organization.slug), team.slug, team.name],
    )
    await insertRateLimit('team', team, teamName)
    for (const key of team.keys) {
      const keyName = `${teamName}/${key.name}`
      const keyId = idOf('key', keyName)
      const digits = hash('sha256', `llmgw seed display ${keyName}`, 'hex')
      await client.query(
        `insert into api_keys (id, organization_id, team_id, name, secret_digest, pepper_id, display_prefix, last4,
           allowed_models, managed_by, created_at)
         values ($1, $2, $3, $4, $5, 'seed', $6, $7, $8, 'admin', $9)
         on conflict (id) do nothing`,
        [
          keyId,
          idOf('organization', organization.slug),
          idOf('team', teamName),
          key.name,
          randomBytes(32),
          `llmgw_${digits.slice(0, 4)}`,
          digits.slice(4, 8),
          Object.keys(key.targets),
          new Date(nowMs - 120 * dayMs),
        ],
      )
      await client.query(
        `insert into key_metadata (api_key_id, description, tags, metadata) values ($1, $2, $3, $4)
         on conflict (api_key_id) do nothing`,
        [
          keyId,
          `${team.name}: ${key.name.replaceAll('-', ' ')}`,
          tagsOf(teamName, key.env),
          { owner: `${team.slug}@${organization.slug}.example`, costCenter: `CC-${digits.slice(8, 12)}` },
        ],
      )
      await insertRateLimit('key', key, keyName)
    }
  }

  async function insertRateLimit(kind: ScopeKind, { rateLimit }: SeedScope, name: string): Promise<void> {
    if (!rateLimit) return
    await client.query(
      `insert into rate_limits (id, ${scopeColumns[kind]}, requests_per_minute, tokens_per_minute, max_concurrent)
       values ($1, $2, $3, $4, $5) on conflict do nothing`,
      [
        idOf('rate-limit', `${kind} ${name}`),
        idOf(kind, name),
        rateLimit.requestsPerMinute ?? null,
        rateLimit.tokensPerMinute ?? null,
        rateLimit.maxConcurrent ?? null,
      ],
    )
  }

  /** With amounts still to be settled, so that calls can name the period they count in. */
  async function openBudget(kind: ScopeKind, { budget }: SeedScope, name: string): Promise<void> {
    if (!budget) return
    await client.query(
      `insert into budgets (id, ${scopeColumns[kind]}, amount_nano, period, mode, managed_by)
       values ($1, $2, 0, $3, $4, 'admin')
       on conflict (id) do nothing`,
      [idOf('budget', `${kind} ${name}`), idOf(kind, name), budget.period, budget.mode],
    )
    await client.query(
      `with starting as (
         select date_trunc($4, $6::timestamptz, 'UTC') as starts
       ), opened as (
         insert into budget_periods (id, budget_id, period_start, period_end, limit_nano, mode)
         select $1, $2, starts, (starts at time zone 'UTC' + ('1 ' || $4)::interval) at time zone 'UTC', 0, $5
         from starting
         on conflict (budget_id, period_start) do update set mode = excluded.mode
         returning id, period_start
       )
       insert into seed_periods select opened.id, $3, $7, opened.period_start from opened`,
      [
        idOf('budget-period', `${kind} ${name} ${new Date(nowMs).toISOString().slice(0, 10)}`),
        idOf('budget', `${kind} ${name}`),
        idOf(kind, name),
        budget.period,
        budget.mode,
        new Date(nowMs),
        budget.used,
      ],
    )
  }
}

/** The amount is what was spent in the current period, divided by the part of it that shall be used, in full dollars. */
const settleBudgetsSql = `
  with spent as (
    select seed_periods.id, seed_periods.used, coalesce(sum(usage_records.provider_cost_nano), 0)::bigint as nano
    from seed_periods
    left join usage_records on usage_records.reserved_at >= seed_periods.starts
      and seed_periods.scope_id in (usage_records.organization_id, usage_records.team_id, usage_records.key_id)
    group by seed_periods.id, seed_periods.used
  ), settled as (
    update budget_periods
    set committed_nano = spent.nano,
      limit_nano = greatest(1, ceil(spent.nano / spent.used::numeric / 1e9))::bigint * 1000000000
    from spent
    where budget_periods.id = spent.id
    returning budget_periods.budget_id, budget_periods.limit_nano
  )
  update budgets set amount_nano = settled.limit_nano from settled where budgets.id = settled.budget_id`

type ScopeKind = keyof typeof scopeColumns
const scopeColumns = { organization: 'organization_id', team: 'team_id', key: 'api_key_id' } as const

const tagsOf = (teamName: string, env: string) => ({ team: teamName.split('/')[1], env })

/** What a name that keys ask for may lead to; an alias is answered by its other targets now and then. */
function expand(world: SeedWorld, requested: string, weight: number): (SeedTarget & { weight: number })[] {
  const targetOf = (provider: string, model: string) => {
    const found = world.models.find(({ name }) => name === model)
    if (!found) throw new RangeError(`The seed world has no model "${model}".`)
    return {
      requested_model: requested,
      provider,
      model,
      catalog: found.catalog,
      reasons: found.reasons ?? false,
      first_output_ms: found.firstOutputMs,
      ms_per_token: found.msPerToken,
    }
  }
  const alias = world.aliases.find(({ name }) => name === requested)
  if (!alias) {
    const [provider = '', model = ''] = requested.split('/')
    return [{ ...targetOf(provider, model), weight, alias: null, failed_provider: null, failed_model: null }]
  }
  const first = alias.targets.filter(({ priority = 0 }) => priority === 0)
  const total = first.reduce((sum, target) => sum + (target.weight ?? 1), 0)
  return alias.targets.map((target) => {
    const isFirst = (target.priority ?? 0) === 0
    const fellBackFrom = isFirst ? undefined : first[0]
    return {
      ...targetOf(target.provider, target.model),
      weight: isFirst ? (weight * (target.weight ?? 1)) / total : weight * fallbackShare,
      alias: alias.name,
      failed_provider: fellBackFrom?.provider ?? null,
      failed_model: fellBackFrom?.model ?? null,
    }
  })
}

const fallbackShare = 0.02

/** The columns of the temporary type seed_target that do not come from the database. */
interface SeedTarget {
  requested_model: string
  alias: string | null
  provider: string
  model: string
  catalog: string
  reasons: boolean
  first_output_ms: number
  ms_per_token: number
  failed_provider: string | null
  failed_model: string | null
}

/** Weights as adjoining pieces of 0 to 1, for a random number to fall into. */
function shares(weights: readonly number[]): { from_share: number; upto_share: number }[] {
  const bounds = cumulative(weights)
  return weights.map((_, index) => ({
    from_share: index === 0 ? 0 : (bounds[index - 1] as number),
    // Rounding must not leave a gap at the end.
    upto_share: index === weights.length - 1 ? 2 : (bounds[index] as number),
  }))
}

/** Ascending sums up to, and without, the last; for `width_bucket`. */
function cumulative(weights: readonly number[]): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  let sum = 0
  return weights.slice(0, -1).map((weight) => {
    sum += weight
    return sum / total
  })
}
