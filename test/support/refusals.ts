import { expect } from 'vitest'
import { requestIdOf, type TestGateway } from './gateway.ts'
import { parseRawAnswer } from './raw-connection.ts'

export interface ExpectedRefusal {
  status: number
  type: string
  code: string
  /** Null unless it is given. */
  param?: string
  /** Whether the client is told when to come back. */
  retryAfter?: true
  /** Whether the client is told not to. */
  noRetry?: true
}

export interface ErrorBody {
  message: string
  type: string
  code: string
  param: string | null
  request_id: string
}

/** Proves that an answer is this refusal, in the whole of its form. @returns the error in it */
export async function expectRefusal(response: Response, expected: ExpectedRefusal): Promise<ErrorBody> {
  return checked(response.status, response.headers, await response.text(), expected)
}

/** As `expectRefusal`, of what came over a raw connection. */
export function expectRawRefusal(text: string, expected: ExpectedRefusal): ErrorBody {
  const { status, headers, body } = parseRawAnswer(text)
  return checked(status, new Headers(headers), body, expected)
}

function checked(status: number, headers: Headers, text: string, expected: ExpectedRefusal): ErrorBody {
  const { type, code, param = null, retryAfter, noRetry } = expected
  expect([status, text]).toEqual([expected.status, expect.stringMatching(/^\{"error":\{.*\}\}$/)])
  const { error } = JSON.parse(text) as { error: ErrorBody }
  const requestId = headers.get('x-request-id')
  expect(error).toEqual({ message: expect.stringMatching(/\S/), type, code, param, request_id: requestId })
  expect(headers.get('content-type')).toMatch(/^application\/json(; charset=utf-8)?$/)
  expect(headers.get('x-should-retry')).toBe(noRetry ? 'false' : null)
  if (retryAfter) {
    const seconds = Number(headers.get('retry-after'))
    const milliseconds = Number(headers.get('retry-after-ms'))
    expect(seconds).toBeGreaterThanOrEqual(1)
    expect(milliseconds).toBeGreaterThan(0)
    expect(milliseconds).toBeLessThanOrEqual(seconds * 1_000)
  } else {
    expect([headers.get('retry-after'), headers.get('retry-after-ms')]).toEqual([null, null])
  }
  return error
}

/** Proves that nothing was sent upstream and nothing was recorded while `run` ran. */
export async function expectNothingDispatched(gateway: TestGateway, run: () => Promise<void>): Promise<void> {
  const before = [await gateway.allSettled(), gateway.upstream.requests.length, gateway.spare.requests.length]
  await run()
  // A call that is accounted for proves that whatever came before it would be, too.
  await gateway.settledRecord(requestIdOf(await gateway.embed({ model: 'demo-embedding' })))
  const after = [await gateway.allSettled(), gateway.upstream.requests.length, gateway.spare.requests.length]
  expect(after).toEqual([(before[0] as number) + 1, before[1], before[2]])
}
