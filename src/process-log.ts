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
const bufferBytes = 8 * 1024
/**
 * Several processes write to one pipe. What is at most 4 KiB the system keeps in one piece; lines are mostly ASCII, and
 * a longer one is torn only when the pipe is full.
 */
const sharedPieceChars = 3 * 1024

/** @param worker - names this process in its lines, when it writes beside others to the same output */
export function openProcessLog(level: LogLevel, worker?: string): ProcessLog {
  const out = destination(
    worker === undefined
      ? { dest: 1, sync: false, minLength: bufferBytes }
      : { dest: 1, sync: false, minLength: sharedPieceChars - 1, maxWrite: sharedPieceChars },
  )
  const base = worker === undefined ? null : { worker }
  const log = pino({ level, base, timestamp: stdTimeFunctions.isoTime }, out)
  const flushing = setInterval(() => out.flush(), flushMs)
  flushing.unref()
  return {
    log,
    writeLine: log.isLevelEnabled('info') ? (line) => void out.write(line) : () => {},
    close() {
      clearInterval(flushing)
      out.flushSync()
    },
  }
}
