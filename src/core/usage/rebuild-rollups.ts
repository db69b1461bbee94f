import type { DayRebuild, RebuildStore, RollupDifference } from './rebuild-rollups.store.ts'

export interface RebuildOptions {
  /** Whole UTC days: from the one that has this moment, */
  from?: Date | undefined
  /** up to the one that begins then or has begun by then, which is left out if it begins then. */
  to?: Date | undefined
  /** Otherwise only looks. */
  apply: boolean
}

export type RebuildResult =
  | { status: 'busy' }
  /** `from` lies before what retention has left. */
  | { status: 'dropped'; droppedBefore: Date }
  | { status: 'empty' }
  | {
      status: 'rebuilt'
      /** Half-open, whole days. */
      from: Date
      to: Date
      /** How many records were summed up. */
      records: number
      differences: BucketDifference[]
      /** Days that have rollups and no records any more: left as they are. */
      daysWithoutRecords: Date[]
    }

/** `bucket`: the day or, for the tables of months, the month. */
export type BucketDifference = RollupDifference & { bucket: Date }

const dayMs = 86_400_000

/**
 * Brings the rollups to what records and ledger say: hours, days and tags of each day from them, then the months that
 * have such a day from all their days. A month outlives the records of its days, so its days are what it is made of.
 *
 * Exact beside gateways that settle meanwhile, and in any number of parts: each day and each month is a transaction.
 */
export async function rebuildRollups(store: RebuildStore, options: RebuildOptions): Promise<RebuildResult> {
  if (!(await store.lock())) return { status: 'busy' }
  const { firstDay, droppedBefore, today } = await store.span()
  const from = options.from ? startOfDay(options.from) : latest(firstDay, droppedBefore)
  if (from && droppedBefore && from < droppedBefore) return { status: 'dropped', droppedBefore }
  const to = options.to ? startOfDay(new Date(options.to.getTime() + dayMs - 1)) : new Date(today.getTime() + dayMs)
  if (!firstDay || !from || from >= to) return { status: 'empty' }

  const differences: BucketDifference[] = []
  const daysWithoutRecords: Date[] = []
  let records = 0
  for (let at = from.getTime(); at < to.getTime(); at += dayMs) {
    const bucket = new Date(at)
    const day: DayRebuild = await store.rebuildDay(bucket, options.apply)
    if (day.status === 'without-records') daysWithoutRecords.push(bucket)
    else {
      records += day.records
      differences.push(...day.differences.map((difference) => ({ ...difference, bucket })))
    }
  }
  for (const bucket of monthsOf(from, to)) {
    const month = await store.rebuildMonth(bucket, options.apply)
    differences.push(...month.map((difference) => ({ ...difference, bucket })))
  }
  return { status: 'rebuilt', from, to, records, differences, daysWithoutRecords }
}

const startOfDay = (moment: Date): Date => new Date(Math.floor(moment.getTime() / dayMs) * dayMs)

/** Of what is known, from which day on there is anything that can be rebuilt. */
const latest = (firstDay: Date | undefined, droppedBefore: Date | undefined): Date | undefined =>
  firstDay && droppedBefore && droppedBefore > firstDay ? droppedBefore : firstDay

function monthsOf(from: Date, to: Date): Date[] {
  const months: Date[] = []
  const next = new Date(Date.UTC(from.getUTCFullYear(), from.getUTCMonth()))
  while (next < to) {
    months.push(new Date(next))
    next.setUTCMonth(next.getUTCMonth() + 1)
  }
  return months
}
