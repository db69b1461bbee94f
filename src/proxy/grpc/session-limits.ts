import { constants, type Http2Server, type ServerHttp2Session } from 'node:http2'

/** What one call may have of header lists, as HTTP/2 counts them; beyond it a stream is reset before it is a call. */
const headerListBytesMax = 16 * 1024
/** Clients may ask whether we are there so often while nothing is going on. */
const pingIntervalMsMin = 30_000
const pingStrikesMax = 2

/** Limits of a connection that grpc-js has no options for. */
export function limitSessions(server: Http2Server, nowMs: () => number): void {
  server.updateSettings({ maxHeaderListSize: headerListBytesMax })
  server.on('session', (session: ServerHttp2Session) => watchPings(session, nowMs))
}

/** Pings while answers are under way measure the line, and are welcome. */
function watchPings(session: ServerHttp2Session, nowMs: () => number): void {
  let streams = 0
  let strikes = 0
  let lastMs = Number.NEGATIVE_INFINITY
  session.on('stream', (stream) => {
    streams++
    strikes = 0
    stream.once('close', () => streams--)
  })
  session.on('ping', () => {
    const now = nowMs()
    if (streams === 0 && now - lastMs < pingIntervalMsMin) strikes++
    lastMs = now
    if (strikes <= pingStrikesMax) return
    session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, Buffer.from('too_many_pings'))
    session.destroy()
  })
}
