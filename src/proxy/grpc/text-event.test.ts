import type { ServiceDefinition } from '@grpc/grpc-js'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { loadContract } from './contract.ts'
import { encodeTextEvent } from './text-event.ts'

const { responseDeserialize } = loadContract().chat.Stream as ServiceDefinition[string]

test('a text event is read as what it was written from', () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ minLength: 100, maxLength: 20_000 }))
  fc.assert(
    fc.property(fc.oneof(fc.constant(0), fc.nat(1_000_000)), text, (index, any) => {
      const wellFormed = any.toWellFormed()
      const read = responseDeserialize(encodeTextEvent(index, wellFormed))
      expect(read).toMatchObject({ event: 'text', text: { index, text: wellFormed } })
    }),
  )
})

test('a text that is no Unicode is written as what stands for it', () => {
  expect(encodeTextEvent(0, 'a\ud800b')).toEqual(encodeTextEvent(0, 'a\ufffdb'))
})
