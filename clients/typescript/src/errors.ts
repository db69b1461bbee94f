import { type Metadata, type ServiceError, status } from '@grpc/grpc-js'
import protobuf from 'protobufjs'

/** What the gateway tells of a failure, as google/rpc/status.proto and error_details.proto have it. */
const { root } = protobuf.parse(`
  syntax = "proto3";
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; }
  message Duration { int64 seconds = 1; int32 nanos = 2; }
  message RetryInfo { Duration retry_delay = 1; }
  message RequestInfo { string request_id = 1; }
  message FieldViolation { string field = 1; string description = 2; }
  message BadRequest { repeated FieldViolation field_violations = 1; }
`)

/** A call that failed. */
export class LlmgwError extends Error {
  /** gRPC's status code, such as `RESOURCE_EXHAUSTED`. */
  readonly status: string
  /** The gateway's code, such as `budget_exceeded`; undefined when the call never got as far as the gateway. */
  readonly reason: string | undefined
  /** The gateway's id of the call. */
  readonly requestId: string | undefined
  /** When trying again makes sense, in milliseconds; undefined when the gateway does not say. */
  readonly retryAfterMs: number | undefined
  /** The field of the request at fault. */
  readonly field: string | undefined
  /** What else came at the end of the call, rate limits among it. */
  readonly trailer: Metadata

  constructor(error: ServiceError) {
    super(error.details || error.message, { cause: error })
    this.name = 'LlmgwError'
    this.status = status[error.code] ?? String(error.code)
    this.trailer = error.metadata
    const details = detailsOf(error.metadata)
    this.reason = details.ErrorInfo?.reason
    this.requestId = details.RequestInfo?.requestId
    this.field = details.BadRequest?.fieldViolations?.[0]?.field
    const delay = details.RetryInfo?.retryDelay
    this.retryAfterMs = delay && Number(delay.seconds ?? 0) * 1_000 + (delay.nanos ?? 0) / 1e6
  }
}

interface Details {
  ErrorInfo?: { reason?: string }
  RequestInfo?: { requestId?: string }
  RetryInfo?: { retryDelay?: { seconds?: number; nanos?: number } }
  BadRequest?: { fieldViolations?: { field?: string }[] }
}

function detailsOf(metadata: Metadata): Details {
  const [bytes] = metadata.get('grpc-status-details-bin')
  if (!Buffer.isBuffer(bytes)) return {}
  const details: Record<string, unknown> = {}
  try {
    const decoded = root.lookupType('Status').decode(bytes) as unknown as {
      details: { typeUrl: string; value: Uint8Array }[]
    }
    for (const { typeUrl, value } of decoded.details) {
      const name = typeUrl.slice(typeUrl.lastIndexOf('.') + 1)
      const type = root.get(name)
      if (type instanceof protobuf.Type) details[name] = type.toObject(type.decode(value), { longs: Number })
    }
  } catch {
    // What cannot be read is left out: the status itself says enough.
  }
  return details as Details
}
