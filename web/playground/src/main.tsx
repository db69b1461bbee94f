import 'graphiql/setup-workers/vite'
import 'graphiql/style.css'
import '@graphiql/plugin-explorer/style.css'
import './playground.css'
import { explorerPlugin } from '@graphiql/plugin-explorer'
import { createGraphiQLFetcher } from '@graphiql/toolkit'
import { GraphiQL } from 'graphiql'
import { createClient } from 'graphql-ws'
import { StrictMode, useEffect, useMemo, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { examples } from './examples.ts'
import { SignInForm } from './SignInForm.tsx'
import { Session } from './session.ts'

const session = new Session()

function Playground() {
  const [state, setState] = useState<'asking' | 'out' | 'in'>('asking')
  useEffect(() => {
    void session.token().then((token) => setState(token ? 'in' : 'out'))
  }, [])
  if (state === 'asking') return null
  if (state === 'out') return <SignInForm session={session} onSignedIn={() => setState('in')} />
  return <Editor onSignedOut={() => setState('out')} />
}

function Editor({ onSignedOut }: { onSignedOut(): void }) {
  const fetcher = useMemo(() => createFetcher(onSignedOut), [onSignedOut])
  const plugins = useMemo(() => [explorerPlugin({ showAttribution: false })], [])
  return (
    <GraphiQL fetcher={fetcher} plugins={plugins} defaultTabs={[...examples]} shouldPersistHeaders={false}>
      <GraphiQL.Logo>ThinkPixel LLM Gateway</GraphiQL.Logo>
      <GraphiQL.Footer>
        <button type="button" className="sign-out" onClick={() => void session.signOut().then(onSignedOut)}>
          Sign out
        </button>
      </GraphiQL.Footer>
    </GraphiQL>
  )
}

/** Every request with a token in force: one that has run out is renewed, and who cannot renew it signs in again. */
function createFetcher(onSignedOut: () => void) {
  const current = async (): Promise<string> => {
    const token = await session.token()
    if (!token) onSignedOut()
    return `Bearer ${token ?? ''}`
  }
  return createGraphiQLFetcher({
    url: '/graphql',
    fetch: async (input, init) => {
      const headers = new Headers(init?.headers)
      headers.set('authorization', await current())
      return fetch(input, { ...init, headers })
    },
    wsClient: createClient({
      url: `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/graphql`,
      connectionParams: async () => ({ authorization: await current() }),
    }),
  })
}

const root = document.getElementById('root')
if (root) {
  createRoot(root).render(
    <StrictMode>
      <Playground />
    </StrictMode>,
  )
}
