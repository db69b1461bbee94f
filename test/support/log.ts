import type { Log } from '../../src/core/log.ts'

/** What nobody should have to read while tests pass. */
export const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

export const warningsOnly: Log = { ...silent, warn: console.warn, error: console.error }

export interface LogLine {
  level: keyof Log
  fields: object
  message: string
}

/** Keeps what is logged, for tests that prove what an operator is told. */
export function createRecordingLog(): Log & { lines: LogLine[] } {
  const lines: LogLine[] = []
  const at = (level: keyof Log) => (fields: object, message: string) => void lines.push({ level, fields, message })
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}
