import { expect, test } from 'vitest'
import type { GatewayEvent } from './event-bus.ts'
import { decodeEventMessage, encodeEventMessage } from './event-message.ts'

const sender = { replica: 'host-1', instance: 'i' }

const events: { [Type in GatewayEvent['type']]: Extract<GatewayEvent, { type: Type }> } = {
  'key-changed': { type: 'key-changed', keyId: 'k' },
  'key-ended': { type: 'key-ended', keyId: 'k' },
  'key-policy-changed': { type: 'key-policy-changed' },
  'configuration-changed': { type: 'configuration-changed' },
  'budget-recall': { type: 'budget-recall', periodId: 'p' },
  'budget-released': { type: 'budget-released', periodId: 'p' },
  'usage-watched': { type: 'usage-watched' },
  'usage-recorded': { type: 'usage-recorded', calls: 'a 1\nb 2' },
  'provider-health-changed': { type: 'provider-health-changed', process: 'main', status: '{}' },
  'budget-alert': {
    type: 'budget-alert',
    budgetId: 'b',
    periodId: 'p',
    thresholdPercent: 80,
    committedNano: '9223372036854775807',
    limitNano: '1',
  },
}

test.each(Object.values(events))('$type arrives as it was sent', (event) => {
  const message = { kind: 'event' as const, sender, event }
  expect(decodeEventMessage(encodeEventMessage(message))).toEqual(message)
})

test('so does a sign of life', () => {
  expect(decodeEventMessage(encodeEventMessage({ kind: 'beat', sender }))).toEqual({ kind: 'beat', sender })
})

test.each<[string, object]>([
  ['another version', { v: 2, replica: 'r', instance: 'i', event: { type: 'key-changed' } }],
  ['another event', { v: 1, replica: 'r', instance: 'i', event: { type: 'moon-phase-changed', phase: 1 } }],
  ['an event named like a member of every object', { v: 1, replica: 'r', instance: 'i', event: { type: 'toString' } }],
])('%s is left to those who know it', (_what, message) => {
  expect(decodeEventMessage(JSON.stringify(message))).toBe('unknown')
})

test('members that a newer release has added do no harm', () => {
  const event = { type: 'key-changed', keyId: 'k', because: 'revoked' }
  const text = JSON.stringify({ v: 1, replica: 'r', instance: 'i', event, traceId: 't' })
  expect(decodeEventMessage(text)).toEqual({
    kind: 'event',
    sender: { replica: 'r', instance: 'i' },
    event: { type: 'key-changed', keyId: 'k' },
  })
})

test.each([
  '',
  '{',
  'null',
  '[]',
  '1',
  '{}',
  '{"v":"1"}',
  '{"v":1}',
  '{"v":1,"replica":1,"instance":"i"}',
  '{"v":1,"replica":"r","instance":"i","event":null}',
  '{"v":1,"replica":"r","instance":"i","event":{}}',
  '{"v":1,"replica":"r","instance":"i","event":{"type":"key-changed"}}',
  '{"v":1,"replica":"r","instance":"i","event":{"type":"key-changed","keyId":1}}',
  `{"v":1,"replica":"${'r'.repeat(20_000)}","instance":"i"}`,
])('%s is malformed', (text) => {
  expect(decodeEventMessage(text)).toBe('malformed')
})
