import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')

/**
 * Every file of the source that could open a connection, and why it may. What goes to a URL that somebody configures
 * goes through `src/core/upstream`, and by each path of that test/outbound/ssrf.test.ts proves what is refused. A new
 * line here is a new way out of the process: ask whether it cannot be `client.openOrigin`, `request` or
 * `client.openAgents` instead, and if it can be none of these, say why.
 */
const known: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'src/core/upstream/upstream-client.ts': { undici: 'the way out itself: pools' },
  'src/core/upstream/guarded-agent.ts': {
    'node:http': 'the way out itself: agents',
    'node:https': 'the way out itself: agents',
  },
  'src/core/upstream/tunnel.ts': {
    'node:http': "to the operator's proxy",
    'node:https': "to the operator's proxy",
  },
  'src/core/upstream/vetted-lookup.ts': { 'node:dns': 'the way out itself: names' },

  'src/core/db/connection.ts': { pg: 'to the database' },
  'src/core/db/pools.ts': { pg: 'to the database' },
  'src/core/db/orm.ts': { '@mikro-orm/postgresql': 'to the database' },
  'src/core/db/migrate.ts': { '@mikro-orm/postgresql': 'to the database', '@mikro-orm/migrations': 'to the database' },
  'src/core/db/postmaster.ts': { 'node:net': 'to the socket of our own PostgreSQL' },
  'src/core/db/embedded-postgres.ts': { 'node:child_process': 'starts our own PostgreSQL' },
  'src/core/db/embedded-postgres-binaries.ts': { 'node:child_process': 'asks which system this is' },
  'src/core/providers/bedrock/client.ts': {
    '@aws-sdk/client-bedrock-runtime': 'by the guarded agents, which sign-in uses, too',
    '@aws-sdk/credential-providers':
      'by the guarded agents; a machine that has a role is asked for it at its own fixed address',
    '@smithy/node-http-handler': 'takes the guarded agents',
  },
  'src/core/providers/bedrock/provider.ts': { '@aws-sdk/client-bedrock-runtime': 'names what the client is to send' },
  'src/core/redis/redis-client.redis.ts': { ioredis: 'to Redis' },
  'src/core/events/event-subscription.redis.ts': { ioredis: 'to Redis' },

  'src/proxy/rest/server.ts': { 'node:http': 'listens', fastify: 'listens' },
  'src/ops/tracing.ts': {
    '@opentelemetry/api': 'what spans are',
    '@opentelemetry/exporter-trace-otlp-http': "to the operator's collector",
    '@opentelemetry/resources': 'names what runs',
    '@opentelemetry/sdk-trace': 'gathers spans',
  },
  'src/ops/server.ts': { 'node:http': 'listens' },
  'src/core/tls-settings.ts': { 'node:tls': 'reads certificates' },
  'src/proxy/grpc/connections.ts': { 'node:net': 'listens', 'node:tls': 'listens' },
  'src/proxy/grpc/server.ts': { '@grpc/grpc-js': 'answers what came in', '@grpc/reflection': 'answers what came in' },
  'src/proxy/grpc/session-limits.ts': { 'node:http2': 'names what came in' },
  'src/proxy/grpc/open-call.ts': { 'node:http2': 'names what came in', '@grpc/grpc-js': 'answers what came in' },
  'src/proxy/grpc/error-status.ts': { '@grpc/grpc-js': 'names of statuses' },
  'src/proxy/grpc/recorded-messages.ts': { '@grpc/grpc-js': 'metadata of answers' },
  'src/proxy/grpc/contract.ts': { '@grpc/proto-loader': 'reads proto/' },
  'src/admin/server.ts': {
    fastify: 'listens',
    '@apollo/server': 'carries out what came in',
    '@fastify/cors': 'answers what came in',
  },
  'src/admin/pages/pages.ts': { '@fastify/static': 'answers what came in' },
  'src/core/access/single-sign-on.ts': { 'openid-client': 'sends its requests by the one way out' },
  'src/admin/pages/setup.js': { fetch: 'in a browser, to the listener that the page came from' },
  'src/admin/subscriptions.ts': { ws: 'takes sockets that came in' },
}

/** Modules that know how to connect. Anything of a cloud's SDK does, too. */
const connecting =
  /^(?:node:)?(?:http|https|http2|net|tls|dns|dns\/promises|dgram|quic|child_process|inspector)$|^(?:undici|ws|ioredis|pg|fastify|eventsource|node-fetch|axios|got|nodemailer|jose|openai|google-auth-library|openid-client|gaxios|gcp-metadata)$|^(?:@aws-sdk|@smithy|@google|@google-cloud|@azure|@grpc|@apollo|@fastify|@mikro-orm|@opentelemetry|@anthropic-ai)\//

/** What only reads addresses, or describes tables. */
const harmless: Readonly<Record<string, readonly string[]>> = {
  'node:net': ['BlockList', 'isIP', 'isIPv4', 'isIPv6'],
  '@mikro-orm/core': ['defineEntity', 'p'],
  jose: ['SignJWT', 'calculateJwkThumbprint', 'decodeProtectedHeader', 'exportJWK', 'importPKCS8', 'jwtVerify'],
}

interface Import {
  module: string
  /** Undefined for everything. */
  names: string[] | undefined
}

/** What a source brings in at run time; types are gone by then. */
function importsOf(source: string): Import[] {
  const found: Import[] = []
  for (const [, clause = '', module = ''] of source.matchAll(
    /^(?:import|export)\s+(?!type\b)([^'";]*?)\s*from\s+['"]([^'"]+)['"]/gm,
  )) {
    const braces = /^\{([^}]*)\}$/.exec(clause)?.[1]
    const names = braces?.split(',').flatMap((name) => /^\s*(?!type\s)(\w+)/.exec(name)?.[1] ?? [])
    if (names?.length !== 0) found.push({ module, names })
  }
  for (const [, module = ''] of source.matchAll(/^import\s+['"]([^'"]+)['"]/gm))
    found.push({ module, names: undefined })
  for (const [, module = ''] of source.matchAll(/\b(?:import|require|getBuiltinModule)\(\s*['"]([^'"]+)['"]/g)) {
    found.push({ module, names: undefined })
  }
  return found
}

const globals = /(?<![\w.'"`])(?:globalThis\.)?(fetch|WebSocket|EventSource|XMLHttpRequest)(?=\s*\()/g

/** Modules and globals by which this source could connect somewhere. */
function waysOutOf(source: string): string[] {
  const code = source.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '')
  const modules = importsOf(code)
    .filter(({ module }) => connecting.test(module))
    .filter(({ module, names }) => !names?.every((name) => harmless[module]?.includes(name)))
    .map(({ module }) => module)
  const called = Array.from(code.matchAll(globals), ([, name]) => name as string)
  return [...new Set([...modules, ...called])].sort()
}

test('whatever could connect to somewhere is known, and nothing that is known is gone', () => {
  const found: Record<string, string[]> = {}
  for (const entry of readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.m?[jt]s$/.test(entry.name) || entry.name.endsWith('.test.ts')) continue
    const path = join(entry.parentPath, entry.name)
    const ways = waysOutOf(readFileSync(path, 'utf8'))
    if (ways.length > 0) found[path.slice(root.length + 1)] = ways
  }
  const expected = Object.entries(known).map(([path, ways]) => [path, Object.keys(ways).sort()])
  expect(found).toEqual(Object.fromEntries(expected))
})

describe('the search', () => {
  test.each([
    ["import http from 'node:http'", ['node:http']],
    ["import { get, type Agent } from 'https'", ['https']],
    ["import {\n  type Agent,\n  request,\n} from 'undici'", ['undici']],
    ["import * as tls from 'node:tls'", ['node:tls']],
    ["import { isIP, connect } from 'node:net'", ['node:net']],
    ["import 'undici'", ['undici']],
    ["export { fetch } from 'undici'", ['undici']],
    ["const { Agent } = await import('node:https')", ['node:https']],
    ["process.getBuiltinModule('node:dns')", ['node:dns']],
    ["import { S3Client } from '@aws-sdk/client-s3'", ['@aws-sdk/client-s3']],
    ["import { GoogleAuth } from 'google-auth-library'", ['google-auth-library']],
    ["import { createRemoteJWKSet } from 'jose'", ['jose']],
    ['await fetch(url)', ['fetch']],
    ['new WebSocket (url)', ['WebSocket']],
    ['globalThis.fetch(url)', ['fetch']],
  ])('finds %s', (source, ways) => {
    expect(waysOutOf(source)).toEqual(ways)
  })

  test.each([
    "import type { Agent } from 'node:http'",
    "import { type Agent, type Socket } from 'node:http'",
    "import { BlockList, isIP } from 'node:net'",
    "import { SignJWT } from 'jose'",
    "import { request } from './request.ts'",
    'deps.fetch(url)',
    'prefetch(url)',
    '// calls fetch(url)',
    "/** import 'undici' */",
  ])('lets %s pass', (source) => {
    expect(waysOutOf(source)).toEqual([])
  })
})
