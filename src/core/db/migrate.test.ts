import { expect, test } from 'vitest'
import { compareSchema } from './migrate.ts'

const known = ['20260101000001_first', '20260201000001_second']

test('what the database has and what it lacks decides', () => {
  expect(compareSchema(known, known)).toEqual({ status: 'current' })
  expect(compareSchema(known, [])).toEqual({ status: 'behind', pending: known })
  expect(compareSchema(known, ['20260101000001_first'])).toEqual({
    status: 'behind',
    pending: ['20260201000001_second'],
  })
})

test('a migration of a newer release makes the schema unfit', () => {
  const newer = '20270101000001_drop_column'
  expect(compareSchema(known, [...known, newer])).toEqual({ status: 'incompatible', unknown: [newer] })
  expect(compareSchema(known, [newer])).toEqual({ status: 'incompatible', unknown: [newer] })
})

test('unless its name says that it suits a release with a migration we have', () => {
  const suited = '20270101000001_add_column_suits_20260201000001'
  expect(compareSchema(known, [...known, suited])).toEqual({ status: 'ahead', unknown: [suited] })
  const tooFarAhead = '20280101000001_add_column_suits_20270601000001'
  expect(compareSchema(known, [...known, suited, tooFarAhead])).toEqual({
    status: 'incompatible',
    unknown: [tooFarAhead],
  })
})
