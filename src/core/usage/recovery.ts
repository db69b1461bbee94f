import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { Journal } from './journal.ts'
import type { Segment } from './journal-folder.ts'
import { frameBytes, frameKind, framePayloadOffset, frameRequestId } from './journal-frame.ts'
import { createSegmentReader } from './journal-reader.ts'
import type { UsageEnd, UsageIntent } from './usage-record.ts'

export interface RecoveryDeps {
  journal: Journal
  clock: Clock
  log: Log
}

export interface Recovery {
  /** Calls that had begun and had no end: each has one now. */
  orphans: number
  /** End records of earlier runs that are not known to be in the database. */
  rows: number
}

/**
 * Ends the calls that earlier runs left open, each as an estimate of its input. The ends are appended to the journal
 * like any other before a segment they replace may be deleted, so a recovery that is cut short leaves the next one
 * either the intent or its end, and any number of recoveries make the same rows.
 *
 * Never rejects: a segment that cannot be read is skipped and kept.
 */
export async function recoverOrphans({ journal, clock, log }: RecoveryDeps): Promise<Recovery> {
  const open = new Map<string, Buffer>()
  let rows = 0
  let refused = 0
  const inherited = journal.segments.filter((segment) => segment.inherited)
  for (const segment of inherited) {
    rows += await scanOrSkip(segment, open, log)
  }
  const endedAt = new Date(clock.nowMs()).toISOString()
  const orphans = open.size
  let written: Promise<void>[] = []
  for (const payload of open.values()) {
    // Our own text, with a good checksum.
    const intent = JSON.parse(payload.toString('utf8')) as UsageIntent
    written.push(journal.append('end', orphanEnd(intent, endedAt)))
    if (written.length < orphansAtOnce) continue
    refused += await countRefused(written)
    written = []
  }
  refused += await countRefused(written)
  if (refused > 0) {
    // Neither disk nor memory has room. The segments stay as they are, and the next start recovers them.
    log.error({ orphans, refused }, 'Calls that a previous run left unfinished could not be closed yet.')
    for (const segment of inherited) segment.keep = true
  }
  journal.recovered(rows)
  if (orphans > 0) log.warn({ orphans }, 'Calls that a previous run left unfinished were closed as estimates.')
  if (rows > 0) log.info({ rows }, 'The usage journal of a previous run is being replayed.')
  return { orphans, rows }
}

const orphansAtOnce = 500

async function countRefused(written: readonly Promise<void>[]): Promise<number> {
  const outcomes = await Promise.allSettled(written)
  return outcomes.filter((outcome) => outcome.status === 'rejected').length
}

async function scanOrSkip(segment: Segment, open: Map<string, Buffer>, log: Log): Promise<number> {
  try {
    return await scanSegment(segment, open)
  } catch (error) {
    segment.keep = true
    log.error(
      { err: error, segment: segment.path },
      'A usage journal segment cannot be read; its calls may be missing.',
    )
    return 0
  }
}

/**
 * In the log an intent always comes before its end, also when it was copied on, so what is open after the last
 * segment never ended.
 *
 * @returns how many ends lie behind what is known to be applied
 */
async function scanSegment(segment: Segment, open: Map<string, Buffer>): Promise<number> {
  const reader = createSegmentReader(segment, 0)
  let rows = 0
  try {
    for (;;) {
      const run = await reader.read()
      if (!run) return rows
      if (run.type !== 'frames') continue // the writer comes by here, too, and reports it
      for (let at = run.start; at < run.end; ) {
        const next = at + frameBytes(run.bytes, at)
        const kind = frameKind(run.bytes, at)
        if (kind === 'intent') {
          open.set(frameRequestId(run.bytes, at), Buffer.from(run.bytes.subarray(at + framePayloadOffset, next)))
        } else if (kind === 'end') {
          open.delete(frameRequestId(run.bytes, at))
          if (run.offset + at - run.start >= segment.appliedBytes) rows++
        } else segment.keep = true // a newer release wrote it, and will know what to do with it
        at = next
      }
    }
  } finally {
    await reader.close()
  }
}

/**
 * What a call is charged that began and was never heard of again: its input at the price of its first candidate, and
 * what is known to have been answered.
 *
 * @param outputTokens - as last checkpointed; `orphan_cost_nano` has them in it
 */
export function orphanEnd(intent: UsageIntent, endedAt: string, outputTokens = 0): UsageEnd {
  const { input_tokens_estimate, orphan_cost_nano, ...shared } = intent
  const units = { input: input_tokens_estimate, ...(outputTokens > 0 && { output: outputTokens }) }
  return {
    ...shared,
    ended_at: endedAt,
    state: 'estimated',
    finish: 'orphaned',
    usage_source: 'estimated',
    retry_uncertain: false,
    http_status: null,
    error_code: null,
    input_tokens: input_tokens_estimate,
    cache_read_tokens: 0,
    cache_write_tokens: 0,
    output_tokens: outputTokens,
    reasoning_tokens: 0,
    units,
    implausible_usage: null,
    provider_cost_nano: orphan_cost_nano,
    charged_nano: orphan_cost_nano,
    overrun_nano: '0',
    first_output_ms: null,
    total_ms: null,
    provider_response_id: null,
    attempts: [
      {
        attempt_no: 1,
        provider: intent.provider,
        model: intent.model,
        outcome: 'orphaned',
        http_status: null,
        error_code: null,
        billing: 'estimated',
        units,
        service_tier: 'default',
        price_version: intent.price_version,
        cost_nano: orphan_cost_nano,
        total_ms: 0,
      },
    ],
  }
}
