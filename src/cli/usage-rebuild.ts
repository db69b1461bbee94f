import { formatUsd } from '../core/money.ts'
import type { BucketDifference, RebuildOptions, RebuildResult } from '../core/usage/rebuild-rollups.ts'

/** What `llmgw usage rebuild` needs; the command line itself is read elsewhere. */
export interface UsageRebuildCommandDeps {
  rebuild(options: RebuildOptions): Promise<RebuildResult>
  /** Takes whole lines, without the line break. */
  print(line: string): void
}

export interface UsageRebuildCommandOptions {
  from?: Date | undefined
  to?: Date | undefined
  dryRun?: boolean | undefined
  json?: boolean | undefined
}

/** @returns the exit status: 0 when the rollups are, or were found to be, as records and ledger say */
export async function rebuildUsageCommand(
  { rebuild, print }: UsageRebuildCommandDeps,
  { from, to, dryRun = false, json }: UsageRebuildCommandOptions,
): Promise<0 | 1> {
  const result = await rebuild({ from, to, apply: !dryRun })
  if (json) print(JSON.stringify(result, (_name, value) => (typeof value === 'bigint' ? value.toString() : value)))
  else for (const line of linesOf(result, dryRun)) print(line)
  if (result.status === 'empty') return 0
  return result.status === 'rebuilt' && (!dryRun || result.differences.length === 0) ? 0 : 1
}

/** How many differences are printed; `--json` has them all. */
const linesMax = 40

function linesOf(result: RebuildResult, dryRun: boolean): string[] {
  if (result.status === 'busy') return ['Another process is rebuilding the rollups. Try again when it is done.']
  if (result.status === 'empty') return ['There is no usage in that time.']
  if (result.status === 'dropped') {
    const day = dayOf(result.droppedBefore)
    return [
      `Records before ${day} have been dropped by retention. Their rollups cannot be recomputed and stay as they are.`,
      `Use --from ${day}.`,
    ]
  }
  const { from, to, records, differences, daysWithoutRecords } = result
  const wrong = differences.reduce((sum, { rows }) => sum + rows, 0)
  return [
    `${records} records from ${dayOf(from)} until ${dayOf(to)} were compared with the rollups.`,
    wrong === 0
      ? 'All rollups are right.'
      : `${wrong} rows ${dryRun ? 'are wrong. Nothing was changed.' : 'were wrong and are right now.'}`,
    ...differences.slice(0, linesMax).map((difference) => `  ${lineOf(difference)}`),
    ...(differences.length > linesMax ? [`  and ${differences.length - linesMax} more lines`] : []),
    ...(daysWithoutRecords.length === 0
      ? []
      : [
          `Left as they are, since their records are gone: ${daysWithoutRecords.slice(0, linesMax).map(dayOf).join(', ')}` +
            (daysWithoutRecords.length > linesMax ? ` and ${daysWithoutRecords.length - linesMax} more.` : '.'),
        ]),
  ]
}

function lineOf({ bucket, table, rows, requests, costNano }: BucketDifference): string {
  const when = table.startsWith('monthly') ? dayOf(bucket).slice(0, 7) : dayOf(bucket)
  return `${when.padEnd(10)}  ${table.padEnd(21)}  ${rows} rows, ${signed(requests, String)} requests, ${signed(costNano, (nano) => `$${formatUsd(nano)}`)}`
}

const signed = (value: bigint, format: (magnitude: bigint) => string): string =>
  `${value < 0n ? '-' : '+'}${format(value < 0n ? -value : value)}`

const dayOf = (moment: Date): string => moment.toISOString().slice(0, 10)
