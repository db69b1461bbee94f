import { Pool } from 'undici'
import { expect, test } from 'vitest'
import { fuzzBody } from '../support/fuzz-bodies.ts'
import { openTestGateway } from '../support/gateway.ts'
import { silent } from '../support/log.ts'
import { respondWithCompletion, respondWithJson } from '../support/scripted-upstream.ts'

/** FUZZ_SEED repeats a run, FUZZ_BODIES makes it longer or shorter. */
const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31)
const bodies = Number(process.env.FUZZ_BODIES ?? 100_000)
const connections = 32

test(`${bodies} bodies of all kinds are answered properly, and accounted for`, { timeout: 300_000 }, async () => {
  console.info(`fuzz: FUZZ_SEED=${seed} FUZZ_BODIES=${bodies}`)
  await using gateway = await openTestGateway({ log: { ...silent, lines: [] } })
  await using stack = new AsyncDisposableStack()
  const pool = new Pool(gateway.url, { connections, pipelining: 1 })
  stack.defer(() => pool.destroy())
  const headers = { authorization: `Bearer ${gateway.keySecret}`, 'content-type': 'application/json' }

  // Texts in large bodies are the provider's to check.
  for (const upstream of [gateway.upstream, gateway.spare]) {
    upstream.answer((response, request) => {
      if (isJson(request.body)) respondWithCompletion(response, request)
      else respondWithJson(response, 400, { error: { message: 'This is no JSON.' } })
    })
  }

  const answers = { whole: 0, failed: 0, refused: 0 }
  const complaints: string[] = []
  let next = 0
  const client = async (): Promise<void> => {
    while (next < bodies && complaints.length < 5) {
      const number = next++
      const { path, bytes } = fuzzBody(seed, number)
      const { statusCode, headers: received, body } = await pool.request({ method: 'POST', path, headers, body: bytes })
      const answer = { status: statusCode, type: String(received['content-type']), id: received['x-request-id'] }
      const outcome = judge(path, { ...answer, text: await body.text() })
      if (outcome in answers) answers[outcome as keyof typeof answers]++
      else complaints.push(`body ${number}: ${outcome}\n${path} ${bytes.toString('utf8').slice(0, 2_000)}`)
    }
  }
  await Promise.all(Array.from({ length: connections }, client))

  expect(complaints).toEqual([])
  const records = await gateway.allSettled()
  expect(await gateway.metric('llmgw_dispatched_requests_total')).toBe(records)
  const { rows } = await gateway.pool.query<{ whole: number; states: string[] }>(
    `select count(*) filter (where error_code is null)::integer as whole, array_agg(distinct state) as states
     from usage_records`,
  )
  // Every whole answer has a record without an error; nothing was refused by the database, or left open.
  expect(rows[0]?.whole).toBe(answers.whole)
  expect(rows[0]?.states).not.toContain('reserved')
  expect(await gateway.metric('llmgw_usage_records_refused')).toBe(0)
  expect(await gateway.metric('llmgw_usage_records_damaged')).toBe(0)
  // The generator has not become too tame, nor too wild.
  expect(answers.whole).toBeGreaterThan(bodies / 20)
  expect(answers.refused).toBeGreaterThan(bodies / 4)

  expect((await fetch(`${gateway.opsUrl}/readyz`)).status).toBe(200)
  expect((await gateway.chat()).status).toBe(200)
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
  console.info(`fuzz: ${JSON.stringify({ ...answers, records })}`)
})

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

interface Answer {
  status: number
  type: string
  id: string | string[] | undefined
  text: string
}

/** @returns `whole`, `failed` within a stream, `refused` in the proper form, or what is wrong with the answer */
function judge(path: string, { status, type, id, text }: Answer): string {
  if (typeof id !== 'string') return `status ${status} without x-request-id`
  if (status === 200 && type.startsWith('text/event-stream')) {
    const last = text.slice(text.lastIndexOf('data: ', text.length - 3) + 6).trim()
    if (last === '[DONE]') return 'whole'
    return isError(last, id) ? 'failed' : `a stream that ends with ${last.slice(0, 200)}`
  }
  if (status === 200) {
    const object = path.endsWith('embeddings') ? '"object":"list"' : '"object":"chat.completion"'
    return text.includes(object) && text.startsWith('{') && text.endsWith('}')
      ? 'whole'
      : `a body ${text.slice(0, 200)}`
  }
  if (status < 400 || status >= 500) return `status ${status}: ${text.slice(0, 500)}`
  return isError(text, id) ? 'refused' : `status ${status} with ${text.slice(0, 500)}`
}

function isError(text: string, requestId: string): boolean {
  try {
    const { error } = JSON.parse(text)
    return (
      error.request_id === requestId &&
      [error.message, error.type, error.code].every((member) => typeof member === 'string' && member !== '') &&
      (error.param === null || typeof error.param === 'string')
    )
  } catch {
    return false
  }
}
