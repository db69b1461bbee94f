import { createHash } from 'node:crypto'
import { canonicalJson } from './canonical-json.ts'

/**
 * What a request asks for, whatever its JSON looks like: SHA-256 of method and path, and of the canonical body. Two
 * requests with one fingerprint may share an answer.
 *
 * @param target - method and path, such as `POST /v1/embeddings`
 * @param body - UTF-8 JSON whose structure has been checked
 */
export function fingerprintOf(target: string, body: Buffer): Buffer {
  return createHash('sha256').update(target).update('\n').update(canonicalJson(body)).digest()
}
