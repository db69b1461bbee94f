import type { AddressInfo } from 'node:net'
import type { App } from './app.ts'

/** What a person who has just started the gateway wants to know: where it listens, a call that works, what is next. */
export function welcome({ rest, grpc, ops, admin, notices }: App): string {
  const restUrl = urlOf(rest)
  const parts = [
    `ThinkPixel LLM Gateway is ready.

  API      ${restUrl}/v1      (OpenAI-compatible)
  gRPC     ${hostOf(grpc)}       (proto/)
  admin    ${urlOf(admin)}/graphql
  private  ${urlOf(ops)}         (/healthz, /readyz, /metrics)
  data     ${notices.dataFolder}${notices.usesEmbeddedDatabase ? '  (with its own PostgreSQL)' : ''}`,
  ]
  if (notices.generatedSecretFiles.length > 0) {
    parts.push(`WARNING: this start has made secrets. Back them up: without them no key works and nothing stored opens.
${notices.generatedSecretFiles.map((file) => `  ${file}`).join('\n')}`)
  }
  for (const warning of notices.warnings) parts.push(`WARNING: ${warning}`)
  if (notices.setupToken) {
    parts.push(`Nobody administers this gateway yet. Whoever opens this link within an hour does:

  ${urlOf(admin)}/setup#token=${notices.setupToken}`)
  }
  if (notices.demoKey) {
    parts.push(`Try it; the demo provider needs no account:

  curl ${restUrl}/v1/chat/completions \\
    -H "Authorization: Bearer ${notices.demoKey}" \\
    -H "Content-Type: application/json" \\
    -d '{"model":"demo/demo-chat","messages":[{"role":"user","content":"Hello!"}]}'`)
  }
  parts.push(`Next: set OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY, or declare providers in a file
(docs/examples/llmgw.yaml) and start with LLMGW_CONFIG=that-file. Make keys with: npm run llmgw -- keys create --name my-app.
Ctrl-C stops everything.`)
  return `\n${parts.join('\n\n')}\n`
}

/** For the secret of a declared key that had none. */
export function newKeyNotice({ name, secret }: { name: string; secret: string }): string {
  return `The key "${name}" was declared without a secret and got one. It is shown only now:\n  ${secret}`
}

const urlOf = (listening: AddressInfo): string => `http://${hostOf(listening)}`

function hostOf({ address, family, port }: AddressInfo): string {
  const isAny = address === '0.0.0.0' || address === '::'
  const host = isAny ? '127.0.0.1' : family === 'IPv6' ? `[${address}]` : address
  return `${host}:${port}`
}
