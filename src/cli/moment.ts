import { InvalidArgumentError } from 'commander'

/**
 * Reads a moment from a command line: a date, which is its midnight in UTC, or a date and time with its zone.
 *
 * @throws InvalidArgumentError when it is neither
 */
export function moment(text: string): Date {
  const [, day, time] =
    /^(\d{4}-\d{2}-\d{2})(T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2}))?$/.exec(text) ?? []
  const midnight = new Date(`${day}T00:00:00Z`)
  const read = time === undefined ? midnight : new Date(text)
  // Date takes February 30 for March 2.
  const isDay = !Number.isNaN(midnight.getTime()) && midnight.toISOString().slice(0, 10) === day
  if (!isDay || Number.isNaN(read.getTime())) {
    throw new InvalidArgumentError('Expected a date such as 2026-11-01, or a time such as 2026-11-01T08:00:00Z.')
  }
  return read
}
