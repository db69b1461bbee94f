import { destination, type Logger, pino, stdTimeFunctions } from 'pino'
import type { LogLevel } from './config/environment.ts'

/** The log of this process: JSON lines on standard output. What is for a person at the terminal goes to standard error. */
export interface ProcessLog {
  readonly log: Logger
  /** Takes a finished line; does nothing where the level leaves such lines out. */
  writeLine(line: string): void
  /** Writes out what is left, and no longer does so by itself. */
  close(): void
}

/** Log lines leave the process together, at most this long after they were written. */
const flushMs = 200
const pieceChars = 32 * 1024
/**
 * Several processes write to one pipe. What is at most 4 KiB the system keeps in one piece; lines are mostly ASCII, and
 * a longer one is torn only when the pipe is full.
 */
const sharedPieceChars = 3 * 1024

/** @param worker - names this process in its lines, when it writes beside others to the same output */
export function openProcessLog(level: LogLevel, worker?: string): ProcessLog {
  const lines = createLineGatherer(worker === undefined ? pieceChars : sharedPieceChars)
  const base = worker === undefined ? null : { worker }
  const log = pino({ level, base, timestamp: stdTimeFunctions.isoTime }, lines)
  const flushing = setInterval(lines.flush, flushMs)
  flushing.unref()
  return {
    log,
    writeLine: log.isLevelEnabled('info') ? lines.write : () => {},
    close() {
      clearInterval(flushing)
      lines.flushSync()
    },
  }
}

interface LineGatherer {
  write(line: string): void
  flush(): void
  /** As pino calls it before the process ends. */
  flushSync(): void
}

/** Gathers lines itself: the stream behind it would measure all that it has gathered anew with every line. */
function createLineGatherer(piece: number): LineGatherer {
  const out = destination({ dest: 1, sync: false, minLength: 0, maxWrite: piece })
  let gathered = ''
  const flush = (): void => {
    if (gathered === '') return
    out.write(gathered)
    gathered = ''
  }
  return {
    write(line) {
      if (gathered.length + line.length > piece) flush()
      gathered += line
    },
    flush,
    flushSync() {
      flush()
      out.flushSync()
    },
  }
}
