import type { Metadata } from '@grpc/grpc-js'
import { GatewayError } from '../../core/errors.ts'

const visibleAscii = /^[\x21-\x7e]{1,255}$/
const timeoutMsMax = 3_600_000

/** A metadata entry as text; several of one name with commas between them, as headers have it. */
export function entryOf(metadata: Metadata, name: string): string | undefined {
  const values = metadata.get(name)
  return values.length === 0 ? undefined : values.join(', ')
}

/** The presented secret, from `authorization: Bearer`. Two of them make one that is none. */
export function credentialOf(metadata: Metadata): string | undefined {
  const value = entryOf(metadata, 'authorization')
  return value === undefined ? undefined : (/^bearer +(.*)$/i.exec(value)?.[1] ?? '')
}

/** How the client named its request; anything but a short visible string is ignored. */
export function clientRequestIdOf(metadata: Metadata): string | undefined {
  const id = entryOf(metadata, 'x-request-id') ?? entryOf(metadata, 'x-client-request-id')
  return id !== undefined && visibleAscii.test(id) ? id : undefined
}

/**
 * What the client calls all its attempts at one request.
 *
 * @throws GatewayError invalid_header; a key that is left out of account would let a request be billed twice
 */
export function idempotencyKeyOf(metadata: Metadata): string | undefined {
  const key = entryOf(metadata, 'idempotency-key')
  if (key === undefined || visibleAscii.test(key)) return key
  throw new GatewayError('invalid_header', 'idempotency-key must be one key of 1 to 255 visible ASCII characters.')
}

/** @returns how long the client waits, in milliseconds; undefined when it set no deadline */
export function timeoutMsOf(deadline: Date | number, nowMs: number): number | undefined {
  const atMs = typeof deadline === 'number' ? deadline : deadline.getTime()
  return Number.isFinite(atMs) ? Math.min(Math.max(1, atMs - nowMs), timeoutMsMax) : undefined
}

/** Names and values, and 32 bytes for each as HTTP/2 counts them. */
export function metadataBytesOf(metadata: Metadata): number {
  let bytes = 0
  for (const [name, values] of Object.entries(metadata.toJSON())) {
    for (const value of values) bytes += name.length + Buffer.byteLength(value) + 32
  }
  return bytes
}
