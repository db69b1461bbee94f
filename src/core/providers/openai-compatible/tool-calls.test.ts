import { expect, test } from 'vitest'
import type { ChatEvent } from '../../chat/event.ts'
import { ToolCalls } from './tool-calls.ts'

/** Takes the `tool_calls` of one delta after the other. */
function calls(...lists: object[][]): ChatEvent[] {
  const events: ChatEvent[] = []
  const taken = new Set<string>()
  const uniqueId = (upstreamId: string | undefined): string => {
    const id = upstreamId !== undefined && !taken.has(upstreamId) ? upstreamId : `call_made${made++}`
    taken.add(id)
    return id
  }
  let made = 0
  const reader = new ToolCalls(0, uniqueId, (event) => events.push(event))
  for (const list of lists) reader.take(list, false)
  expect(reader.finish()).toBe(true)
  return events
}

const callStart = (toolIndex: number, id: string, name: string): ChatEvent => ({
  type: 'tool-call-start',
  index: 0,
  toolIndex,
  id,
  name,
})
const callText = (toolIndex: number, args: string): ChatEvent => ({
  type: 'tool-call-delta',
  index: 0,
  toolIndex,
  arguments: args,
})

test('by the book, with later deltas whose id and name are empty', () => {
  expect(
    calls(
      [{ index: 0, id: 'a', type: 'function', function: { name: 'f', arguments: '' } }],
      [{ index: 0, function: { arguments: '{"x"' } }],
      [{ index: 1, id: 'b', type: 'function', function: { name: 'g', arguments: '' } }],
      [{ index: 0, id: '', function: { name: '', arguments: ':1}' } }],
      [{ index: 1, function: { arguments: '{}' } }],
    ),
  ).toEqual([
    callStart(0, 'a', 'f'),
    callText(0, '{"x"'),
    callStart(1, 'b', 'g'),
    callText(0, ':1}'),
    callText(1, '{}'),
  ])
})

test('without index or id, whole, several of one name', () => {
  expect(
    calls(
      [{ function: { name: 'f', arguments: '{"x":1}' } }, { function: { name: 'f', arguments: '{"x":2}' } }],
      [{ function: { name: 'f', arguments: '{"x":3}' } }],
    ),
  ).toEqual([
    callStart(0, 'call_made0', 'f'),
    callText(0, '{"x":1}'),
    callStart(1, 'call_made1', 'f'),
    callText(1, '{"x":2}'),
    callStart(2, 'call_made2', 'f'),
    callText(2, '{"x":3}'),
  ])
})

test('in pieces without index or id, with the name repeated', () => {
  expect(
    calls(
      [{ function: { name: 'f', arguments: '{"x"' } }],
      [{ function: { name: 'f', arguments: ':1}' } }],
      [{ function: { name: 'g', arguments: '{' } }],
      [{ function: { arguments: '}' } }],
    ),
  ).toEqual([
    callStart(0, 'call_made0', 'f'),
    callText(0, '{"x"'),
    callText(0, ':1}'),
    callStart(1, 'call_made1', 'g'),
    callText(1, '{'),
    callText(1, '}'),
  ])
})

test('all under index 0', () => {
  expect(
    calls(
      [{ index: 0, id: 'a', function: { name: 'f', arguments: '{}' } }],
      [{ index: 0, id: 'b', function: { name: 'f', arguments: '{"x":' } }],
      [{ index: 0, function: { arguments: '2}' } }],
    ),
  ).toEqual([
    callStart(0, 'a', 'f'),
    callText(0, '{}'),
    callStart(1, 'b', 'f'),
    callText(1, '{"x":'),
    callText(1, '2}'),
  ])
})

test('an index that does not begin at 0, and an id that two calls share', () => {
  expect(
    calls(
      [{ index: 3, id: 'f', function: { name: 'f', arguments: '{}' } }],
      [{ index: 7, id: 'f', function: { name: 'f', arguments: '{}' } }],
    ),
  ).toEqual([callStart(0, 'f', 'f'), callText(0, '{}'), callStart(1, 'call_made0', 'f'), callText(1, '{}')])
})

test('the name comes after the id, arguments are an object, extra content stays', () => {
  const extra_content = { google: { thought_signature: 's' } }
  expect(
    calls(
      [{ index: 0, id: 'a', function: { arguments: '' }, extra_content }],
      [{ index: 0, function: { name: 'f', arguments: { x: 1 } } }],
    ),
  ).toEqual([{ ...callStart(0, 'a', 'f'), extra: { extra_content } }, callText(0, '{"x":1}')])
})

test('an empty entry is no call', () => {
  expect(calls([{ index: 0, function: {} }, {}])).toEqual([])
})
