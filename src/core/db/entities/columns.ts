import { p } from '@mikro-orm/core'

/** Kinds of columns that many tables share. Functions, since a property belongs to one entity. */

/** A `timestamptz`; read as a Date, that is, cut to milliseconds. */
export const instant = () => p.datetime().columnType('timestamptz')

/** Filled by the database's clock. */
export const now = () => instant().defaultRaw('now()')

/** `updated_at` is set by a trigger; after a flush the entity in memory still has the old one. */
export const timestamps = () => ({ createdAt: now(), updatedAt: now() })

/** Nano-dollars, a `bigint` in code as in the table. */
export const nano = () => p.bigint('bigint')

/** A 64-bit count. */
export const count = () => p.bigint('bigint').defaultRaw('0')

export const bytes = () => p.uint8array().columnType('bytea')

export const jsonObject = <T extends object = Record<string, unknown>>() => p.json<T>().columnType('jsonb')

/** A number that the database gives out. */
export const identity = () => p.bigint('bigint').primary().generated('identity')
