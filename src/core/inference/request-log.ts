import { isoTime } from '../iso-time.ts'
import { storableText } from '../usage/storable-text.ts'
import type { UsageEnd } from '../usage/usage-record.ts'
import type { CallTrace } from './call-trace.ts'

/** Writes the one line that every settled request leaves: the whole story, and no word of what was said. */
export type RequestLog = (end: UsageEnd, keyName: string, trace?: CallTrace | undefined) => void

/** pino's number for `info`, so that these lines filter like all others. */
const infoLevel = 30

/**
 * Request lines go to the log's own stream as finished text. A logger builds a line field by field, which costs more
 * memory than all of the rest of a request; putting the text together costs a tenth.
 *
 * @param write - takes whole lines
 */
export function createRequestLog(write: (line: string) => void, nowMs: () => number): RequestLog {
  return (end, keyName, trace) =>
    write(
      `{"level":${infoLevel},"time":"${isoTime(nowMs())}","msg":"request settled","request_id":"${end.request_id}",` +
        `"key_id":"${end.key_id}","key_name":${storableText(keyName)},"caller_key_id":${storableText(end.caller_key_id)},` +
        `"operation":"${end.operation}",` +
        `"requested_model":${storableText(end.requested_model)},"provider":${storableText(end.provider)},` +
        `"model":${storableText(end.model)},"stream":${end.stream},"state":"${end.state}",` +
        `"finish":${storableText(end.finish)},"http_status":${end.http_status},` +
        `"error_code":${storableText(end.error_code)},"attempts":${end.attempts.length},` +
        `"input_tokens":${end.input_tokens},"output_tokens":${end.output_tokens},` +
        `"usage_source":"${end.usage_source}","cost_nano_usd":"${end.provider_cost_nano}",` +
        `"door":"${end.door}","alias":${storableText(end.alias)},"client_request_id":${storableText(end.client_request_id)},` +
        `"first_output_ms":${end.first_output_ms},"total_ms":${end.total_ms}${traceText(trace)}}\n`,
    )
}

/** By the names that OpenTelemetry gives them in logs. */
const traceText = (trace: CallTrace | undefined): string =>
  trace?.ids ? `,"trace_id":"${trace.ids.traceId}","span_id":"${trace.ids.spanId}"` : ''
