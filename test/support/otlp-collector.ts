import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A span as it arrived. */
export interface CollectedSpan {
  traceId: string
  spanId: string
  /** Empty for the first one of a trace. */
  parentSpanId: string
  name: string
  /** As OTLP numbers it: 1 internal, 2 server, 3 client. */
  kind: number
  startMs: number
  endMs: number
  attributes: Record<string, unknown>
  /** As OTLP numbers it: 0 unset, 2 error. */
  status: number
  resource: Record<string, unknown>
}

/** Takes traces by OTLP over HTTP, as JSON, on 127.0.0.1. */
export interface OtlpCollector extends AsyncDisposable {
  readonly url: string
  readonly spans: readonly CollectedSpan[]
  /** Of the exports. */
  readonly headers: readonly IncomingHttpHeaders[]
  /** All bodies, as they came. */
  readonly text: string
}

interface WireSpan {
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
  kind: number
  startTimeUnixNano: string
  endTimeUnixNano: string
  attributes?: WireAttribute[]
  status?: { code?: number }
}

interface WireAttribute {
  key: string
  value: {
    stringValue?: string
    intValue?: number | string
    doubleValue?: number
    boolValue?: boolean
    arrayValue?: { values: WireAttribute['value'][] }
  }
}

export async function startOtlpCollector(): Promise<OtlpCollector> {
  const spans: CollectedSpan[] = []
  const headers: IncomingHttpHeaders[] = []
  let text = ''
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks).toString('utf8')
    text += body
    headers.push(request.headers)
    if (request.url === '/v1/traces') spans.push(...spansOf(body))
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    headers,
    get text() {
      return text
    },
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
    },
  }
}

function spansOf(body: string): CollectedSpan[] {
  const { resourceSpans } = JSON.parse(body) as {
    resourceSpans: { resource: { attributes: WireAttribute[] }; scopeSpans: { spans: WireSpan[] }[] }[]
  }
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap((scope) =>
      scope.spans.map((span) => ({
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId ?? '',
        name: span.name,
        kind: span.kind,
        startMs: Number(span.startTimeUnixNano) / 1e6,
        endMs: Number(span.endTimeUnixNano) / 1e6,
        attributes: attributesOf(span.attributes ?? []),
        status: span.status?.code ?? 0,
        resource: attributesOf(resource.attributes),
      })),
    ),
  )
}

const attributesOf = (attributes: readonly WireAttribute[]): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, valueOfAttribute(value)]))

function valueOfAttribute(value: WireAttribute['value']): unknown {
  if (value.arrayValue) return value.arrayValue.values.map(valueOfAttribute)
  if (value.intValue !== undefined) return Number(value.intValue)
  return value.stringValue ?? value.doubleValue ?? value.boolValue
}
