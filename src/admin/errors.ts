import { GraphQLError } from 'graphql'
import { idempotencyConstraint } from '../core/access/audit-trail.store.ts'
import { PasswordsBusy } from '../core/access/passwords.ts'
import type { SignInRefused } from '../core/access/sign-in.ts'
import type { Refusal } from '../core/refusal.ts'

/** What stands in `extensions.code` of an error at the top. */
export type AdminErrorCode =
  | 'UNAUTHENTICATED'
  | 'FORBIDDEN'
  | 'BAD_USER_INPUT'
  | 'LIMIT_EXCEEDED'
  | 'RATE_LIMITED'
  | 'OPERATION_TIMEOUT'
  | 'SERVICE_UNAVAILABLE'
  | 'ALREADY_DONE'
  | 'IDEMPOTENCY_IN_PROGRESS'
  | 'IDEMPOTENCY_KEY_REUSED'
  | 'INTERNAL_SERVER_ERROR'

const statuses: Partial<Record<AdminErrorCode, number>> = {
  UNAUTHENTICATED: 401,
  OPERATION_TIMEOUT: 504,
  SERVICE_UNAVAILABLE: 503,
  IDEMPOTENCY_IN_PROGRESS: 409,
  IDEMPOTENCY_KEY_REUSED: 422,
}

export const adminError = (code: AdminErrorCode, message: string): GraphQLError => {
  const status = statuses[code]
  return new GraphQLError(message, { extensions: { code, ...(status && { http: { status } }) } })
}

export const badInput = (message: string): GraphQLError => adminError('BAD_USER_INPUT', message)
export const unauthenticated = (): GraphQLError =>
  adminError('UNAUTHENTICATED', 'Sign in first: send an access token in the header "Authorization: Bearer <token>".')
export const forbidden = (): GraphQLError =>
  adminError('FORBIDDEN', 'The role of the viewer does not allow this here. An administrator may grant another one.')

/** PostgreSQL's words for what took too long, and waited too long for somebody else. */
const timeouts = ['57014', '55P03']

/** It is not there, goes, or comes: PostgreSQL's words, the operating system's, and those of the pool. */
function isDatabaseAway(error: unknown): boolean {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown }
  return (
    /^(?:08|57P0|ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN)/.test(String(code)) ||
    /^(?:Connection terminated|timeout exceeded when trying to connect)/.test(String(message))
  )
}

/** PostgreSQL's words for a value that is none of its type: of a cursor that somebody has made up. */
const wrongValues = ['22P02', '22003', '22007', '22008']

const alreadyDone = (): GraphQLError =>
  adminError(
    'ALREADY_DONE',
    'A change was made with this Idempotency-Key before, and nothing was changed now. Look it up, or send another key.',
  )

/** Of what a service throws, what is for the client; anything else is a fault. */
export function fromService(error: unknown): unknown {
  if (error instanceof PasswordsBusy) return adminError('RATE_LIMITED', 'Too many sign-ins at once. Try again.')
  const { code, constraint } = (error ?? {}) as { code?: unknown; constraint?: unknown } // whatever was thrown
  if (code === '23505' && constraint === idempotencyConstraint) return alreadyDone()
  if (timeouts.includes(String(code)) || (error as Error)?.message === 'Query read timeout') {
    return adminError('OPERATION_TIMEOUT', 'The database took too long, and nothing was changed. Try again.')
  }
  if (isDatabaseAway(error)) {
    return adminError(
      'SERVICE_UNAVAILABLE',
      'The database cannot be reached. Calls go on without it; try again shortly.',
    )
  }
  return wrongValues.includes(String(code)) ? badInput('A value, or a part of a cursor, is not of its kind.') : error
}

const refusalTypes = {
  invalid: 'InvalidInput',
  not_found: 'NotFound',
  conflict: 'Conflict',
  managed_by_file: 'ManagedByFile',
} as const satisfies Record<Refusal['code'], string>

/** A member of the union of errors of a payload. */
export interface PayloadError {
  __typename: string
  message: string
  path: readonly string[]
}

export const payloadError = ({ code, message, path }: Refusal): PayloadError => ({
  __typename: refusalTypes[code],
  message,
  path: ['input', ...path],
})

export const notFound = (what: string, field: string): PayloadError => ({
  __typename: 'NotFound',
  message: `There is no such ${what}.`,
  path: ['input', field],
})

const signInTypes = {
  wrong_credentials: 'WrongCredentials',
  throttled: 'TooManyAttempts',
  session_ended: 'SessionEnded',
  invalid: 'InvalidInput',
  already_set_up: 'SetupNotOpen',
} as const satisfies Record<SignInRefused['reason'], string>

export const signInError = ({ reason, message }: SignInRefused): PayloadError => ({
  __typename: signInTypes[reason],
  message,
  path: [],
})
