import { type DocumentNode, type GraphQLError, getOperationAST, parse } from 'graphql'
import type { AdminAnswers } from '../core/access/admin-answers.store.ts'
import type { Principal } from '../core/access/principal.ts'
import { adminError } from './errors.ts'

export interface HttpAnswer {
  status: number
  text: string
}

/** What comes of a request with an idempotency key. */
export interface IdempotentAnswer extends HttpAnswer {
  isReplayed: boolean
}

/**
 * Carries a mutation out once for each key of an account, and tells whoever asks again what was told the first time. What
 * has failed as a whole is not kept: it may be sent again.
 *
 * @throws GraphQLError IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS, ALREADY_DONE
 */
export async function answerOnce(
  answers: AdminAnswers,
  asker: Pick<Principal, 'kind' | 'id'>,
  key: string,
  body: unknown,
  execute: () => Promise<HttpAnswer>,
): Promise<IdempotentAnswer> {
  const claim = await answers.begin(asker, key, JSON.stringify(body))
  if (claim.outcome === 'answered') return { status: 200, text: claim.answer, isReplayed: true }
  if (claim.outcome !== 'begun') throw refusals[claim.outcome]()
  let answer: HttpAnswer | undefined
  try {
    answer = await execute()
    return { ...answer, isReplayed: false }
  } finally {
    const isWhole = answer?.status === 200 && !('errors' in JSON.parse(answer.text))
    if (answer && isWhole) await claim.end(answer.text)
    else await claim.release()
  }
}

/** Whether it is a request that changes something; what cannot be read is refused elsewhere. */
export function isMutation(body: unknown, maxTokens: number): boolean {
  const { query, operationName } = (body ?? {}) as { query?: unknown; operationName?: unknown }
  if (typeof query !== 'string') return false
  let document: DocumentNode
  try {
    document = parse(query, { maxTokens, noLocation: true })
  } catch {
    return false
  }
  return getOperationAST(document, typeof operationName === 'string' ? operationName : null)?.operation === 'mutation'
}

const refusals: Readonly<Record<'running' | 'other' | 'lost', () => GraphQLError>> = {
  running: () =>
    adminError('IDEMPOTENCY_IN_PROGRESS', 'A request with this Idempotency-Key is under way. Try again in a moment.'),
  other: () =>
    adminError('IDEMPOTENCY_KEY_REUSED', 'This Idempotency-Key came with another request. Send another key.'),
  lost: () => adminError('ALREADY_DONE', 'This was done before, and its answer cannot be had any more.'),
}
