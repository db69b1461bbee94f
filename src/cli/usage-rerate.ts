import { formatUsd } from '../core/money.ts'
import type { PeriodState } from '../core/usage/rerate.store.ts'
import type { RerateOptions, RerateResult } from '../core/usage/rerate.ts'

/** What `llmgw usage rerate` needs; the command line itself is read elsewhere. */
export interface UsageRerateCommandDeps {
  rerate(options: RerateOptions): Promise<RerateResult>
  /** Takes whole lines, without the line break. */
  print(line: string): void
}

export interface UsageRerateCommandOptions {
  from: Date
  to: Date
  model: string
  provider?: string | undefined
  apply?: boolean | undefined
  json?: boolean | undefined
}

/** @returns the exit status: 0 when all calls cost, or would cost, what the price says; 1 when some were left alone */
export async function rerateUsageCommand(
  { rerate, print }: UsageRerateCommandDeps,
  { from, to, model, provider, apply = false, json }: UsageRerateCommandOptions,
): Promise<0 | 1> {
  const result = await rerate({ from, to, model, provider, apply })
  if (json) print(JSON.stringify(result, (_name, value) => (typeof value === 'bigint' ? value.toString() : value)))
  else for (const line of linesOf(result, apply)) print(line)
  return result.status === 'rerated' && result.withoutPrice === 0 && result.inconsistent === 0 ? 0 : 1
}

/** How many keys and periods are printed; `--json` has them all. */
const linesMax = 40

function linesOf(result: RerateResult, apply: boolean): string[] {
  if (result.status === 'dropped') {
    const day = result.droppedBefore.toISOString().slice(0, 10)
    return [`Records before ${day} have been dropped by retention. Use --from ${day}.`]
  }
  const { calls, changed, withoutPrice, inconsistent, unpriced, oldNano, newNano, groups, overspent } = result
  return [
    `${calls} calls were billed for this model in that time; ${changed} ${apply ? 'were changed' : 'would change'}.`,
    `They cost ${usd(oldNano)} and ${apply ? 'cost' : 'would cost'} ${usd(newNano)} ${apply ? 'now' : 'at the other price'}: ${difference(oldNano, newNano)}.`,
    ...groups
      .slice(0, linesMax)
      .map(
        ({ keyId, keyName, provider, calls: count, oldNano: before, newNano: after }) =>
          `  ${keyName ?? keyId} (${provider}): ${count} calls, ${usd(before)} -> ${usd(after)}, ${difference(before, after)}`,
      ),
    ...more(groups.length, 'keys'),
    ...(unpriced > 0
      ? [`${unpriced} calls used something that this price has no rate for; that part costs nothing.`]
      : []),
    ...(withoutPrice > 0 ? [`${withoutPrice} calls were left alone: no price is in force for their model.`] : []),
    ...(inconsistent > 0
      ? [`${inconsistent} calls were left alone: their record, attempts and ledger do not agree on what they cost.`]
      : []),
    ...(overspent.length > 0 ? [`Budgets that ${apply ? 'are' : 'would be'} above their limit:`] : []),
    ...overspent.slice(0, linesMax).map(overspentLine),
    ...more(overspent.length, 'budgets'),
    ...(apply || changed === 0
      ? []
      : ['Nothing was changed. Run it with --apply to enter the difference into the ledger.']),
  ]
}

const more = (count: number, what: string): string[] =>
  count > linesMax ? [`  and ${count - linesMax} more ${what}`] : []

const overspentLine = ({ budgetId, periodStart, mode, committedNano, limitNano }: PeriodState): string =>
  `  ${budgetId} (${mode}, from ${periodStart.toISOString()}): ${usd(committedNano)} of ${usd(limitNano)}`

const usd = (nano: bigint): string => `$${formatUsd(nano)}`

const difference = (before: bigint, after: bigint): string =>
  after < before ? `-${usd(before - after)}` : `+${usd(after - before)}`
