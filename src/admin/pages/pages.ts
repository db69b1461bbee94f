import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'

/** What the link of a first start leads to. */
const setupPages = [
  ['/setup', 'setup.html', 'text/html; charset=utf-8'],
  ['/setup.css', 'setup.css', 'text/css; charset=utf-8'],
  ['/setup.js', 'setup.js', 'text/javascript; charset=utf-8'],
] as const

const playgroundFolder = join(import.meta.dirname, '../../../web/playground/dist')

/** No script but ours, and nothing of anybody else. The editor of the playground makes styles and workers of its own. */
const playgroundPolicy =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none'"

const dayS = 86_400

/** The pages for people, as files: none of them knows anything that is not public. */
export async function servePages(server: FastifyInstance): Promise<void> {
  for (const [path, file, contentType] of setupPages) {
    const text = readFileSync(join(import.meta.dirname, file), 'utf8')
    server.get(path, (_request, reply) => reply.type(contentType).send(text))
  }
  if (!existsSync(join(playgroundFolder, 'index.html'))) {
    server.get('/playground', (_request, reply) =>
      reply.code(503).type('text/plain').send('The playground is not built. Build it with: npm run build:web\n'),
    )
    return
  }
  server.get('/playground', (_request, reply) => reply.redirect('/playground/', 302))
  await server.register(fastifyStatic, {
    root: playgroundFolder,
    prefix: '/playground/',
    cacheControl: false,
    setHeaders(reply, path) {
      reply.header('content-security-policy', playgroundPolicy)
      // Names of assets have a hash of their content in them.
      if (path.includes('/assets/')) reply.header('cache-control', `public, max-age=${365 * dayS}, immutable`)
    },
  })
}
