import { createClient } from 'graphql-ws'
import { WebSocket } from 'ws'
import type { TestGateway } from './gateway.ts'

export const subscriptionUrl = ({ app }: Pick<TestGateway, 'app'>): string => `ws://127.0.0.1:${app.admin.port}/graphql`

/** A subscription as a dashboard has it, and everything it was told. */
// biome-ignore lint/suspicious/noExplicitAny: tests look at all sorts of events
export function subscribe<Event = any>(gateway: Pick<TestGateway, 'app'>, token: string, query: string) {
  const client = createClient({
    url: subscriptionUrl(gateway),
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${token}` },
    retryAttempts: 0,
    lazy: true,
  })
  const events: Event[] = []
  const failure = Promise.withResolvers<unknown>()
  const unsubscribe = client.subscribe<Record<string, Event>>(
    { query },
    {
      next({ data, errors }) {
        if (errors) failure.resolve(errors)
        for (const event of Object.values(data ?? {})) events.push(event)
      },
      error: failure.resolve,
      complete: () => {},
    },
  )
  return { client, events, failure: failure.promise, unsubscribe, close: () => client.dispose() }
}
