import { expect, test } from 'vitest'
import { usageEnd, usageIntent } from '../../../test/support/usage-records.ts'
import { createRequestLog } from './request-log.ts'

test('a settled request leaves one line of JSON, whatever its names are', () => {
  const lines: string[] = []
  const requestLog = createRequestLog(
    (line) => lines.push(line),
    () => 1_763_928_000_123,
  )
  const intent = usageIntent({ requested_model: 'a "model"\n' })
  requestLog(usageEnd(intent, { provider: null, model: 'gpt\\é', error_code: 'provider_error' }), 'key "one"')

  expect(lines).toHaveLength(1)
  expect(lines[0]?.indexOf('\n')).toBe((lines[0]?.length ?? 0) - 1)
  expect(JSON.parse(lines[0] ?? '')).toEqual({
    level: 30,
    time: '2025-11-23T20:00:00.123Z',
    msg: 'request settled',
    request_id: intent.request_id,
    key_id: intent.key_id,
    key_name: 'key "one"',
    caller_key_id: null,
    operation: 'chat',
    requested_model: 'a "model"\n',
    provider: null,
    model: 'gpt\\é',
    stream: true,
    state: 'settled',
    finish: 'stop',
    http_status: 200,
    error_code: 'provider_error',
    attempts: 1,
    input_tokens: 1_200,
    output_tokens: 300,
    usage_source: 'provider',
    cost_nano_usd: '360000',
    door: 'rest',
    alias: 'smart',
    client_request_id: null,
    first_output_ms: 210,
    total_ms: 1_000,
  })
})
