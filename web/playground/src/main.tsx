import 'graphiql/setup-workers/vite'
import 'graphiql/style.css'
import '@graphiql/plugin-explorer/style.css'
import './playground.css'
import { explorerPlugin } from '@graphiql/plugin-explorer'
import { createGraphiQLFetcher, type Fetcher } from '@graphiql/toolkit'
import { GraphiQL } from 'graphiql'
import { getOperationAST, parse } from 'graphql'
import { createClient } from 'graphql-ws'
import { StrictMode, useEffect, useMemo, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { examples } from './examples.ts'
import { createMemoryStorage } from './memory-storage.ts'
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
  const storage = useMemo(createMemoryStorage, [])
  const plugins = useMemo(() => [explorerPlugin({ showAttribution: false })], [])
  return (
    <GraphiQL
      fetcher={fetcher}
      storage={storage}
      plugins={plugins}
      defaultTabs={[...examples]}
      shouldPersistHeaders={false}
      defaultEditorToolsVisibility="variables"
    >
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
function createFetcher(onSignedOut: () => void): Fetcher {
  const current = async (): Promise<string> => {
    const token = await session.token()
    if (!token) onSignedOut()
    return `Bearer ${token ?? ''}`
  }
  const fetcher = createGraphiQLFetcher({
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
  // Just after a change of tabs the editor still speaks of the document of the one before.
  return ({ operationName, query, ...params }, options) => {
    const documentAST = parse(query)
    const name = getOperationAST(documentAST, operationName)?.name ?? getOperationAST(documentAST)?.name
    return fetcher({ ...params, query, ...(name && { operationName: name.value }) }, { ...options, documentAST })
  }
}

const root = document.getElementById('root')
if (root) {
  createRoot(root).render(
    <StrictMode>
      <Playground />
    </StrictMode>,
  )
}
