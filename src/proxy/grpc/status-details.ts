import protobuf from 'protobufjs/minimal.js'

/** What an error tells beside its code and its sentence, as google.rpc has it (google/rpc/error_details.proto). */
export interface StatusDetails {
  /** Our code, as over REST. */
  reason: string
  /** The provider's own code, where it is OpenAI's vocabulary. */
  providerCode: string | undefined
  requestId: string
  /** When to try again; undefined says nothing about it. */
  retryAfterMs: number | undefined
  /** What a budget did not have. */
  quota: { subject: string; description: string } | undefined
  /** The field at fault. */
  field: { path: string; description: string } | undefined
}

/** Of whose vocabulary `reason` is. */
export const errorDomain = 'llmgw'

/** @returns google.rpc.Status, for the trailing metadata `grpc-status-details-bin` */
export function encodeStatus(code: number, message: string, details: StatusDetails): Buffer {
  const writer = new protobuf.Writer().uint32(8).int32(code).uint32(18).string(message)
  for (const [type, value] of detailsOf(details)) {
    writer.uint32(26).fork()
    writer.uint32(10).string(`type.googleapis.com/google.rpc.${type}`).uint32(18).bytes(value)
    writer.ldelim()
  }
  return Buffer.from(writer.finish())
}

function* detailsOf({
  reason,
  providerCode,
  requestId,
  retryAfterMs,
  quota,
  field,
}: StatusDetails): Generator<[string, Uint8Array]> {
  yield ['ErrorInfo', Buffer.concat([fieldsOf([reason, errorDomain]), mapOf('provider_code', providerCode)])]
  if (retryAfterMs !== undefined) {
    // RetryInfo has a Duration: whole seconds, and nanoseconds beside them.
    const ms = Math.max(0, Math.round(retryAfterMs))
    const retry = new protobuf.Writer()
      .uint32(10)
      .fork()
      .uint32(8)
      .int64(Math.floor(ms / 1_000))
    retry
      .uint32(16)
      .int32((ms % 1_000) * 1_000_000)
      .ldelim()
    yield ['RetryInfo', retry.finish()]
  }
  if (quota) yield ['QuotaFailure', listOf([quota.subject, quota.description])]
  if (field) yield ['BadRequest', listOf([field.path, field.description])]
  yield ['RequestInfo', fieldsOf([requestId])]
}

/** A map of texts in field 3. */
const mapOf = (name: string, value: string | undefined): Uint8Array =>
  value === undefined
    ? new Uint8Array()
    : new protobuf.Writer()
        .uint32(26)
        .bytes(fieldsOf([name, value]))
        .finish()

/** Texts as fields 1, 2, and so on. */
function fieldsOf(texts: readonly string[]): Uint8Array {
  const writer = new protobuf.Writer()
  for (const [index, text] of texts.entries()) writer.uint32(((index + 1) << 3) | 2).string(text)
  return writer.finish()
}

/** One message of such fields as the only one of a list in field 1. */
const listOf = (texts: readonly string[]): Uint8Array =>
  new protobuf.Writer().uint32(10).bytes(fieldsOf(texts)).finish()
