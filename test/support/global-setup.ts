import { rmSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { TestProject } from 'vitest/node'
import { openConnection } from '../../src/core/db/connection.ts'
import { startEmbeddedPostgres } from '../../src/core/db/embedded-postgres.ts'
import { migrateUp } from '../../src/core/db/migrate.ts'
import { clearEarlierStart } from '../../src/core/db/postmaster.ts'
import { withDatabase } from './database-url.ts'
import { installRedisServer } from './install-redis.ts'
import { warningsOnly } from './log.ts'
import { isAlive } from './process-alive.ts'
import { removeRedisLeftovers } from './redis-leftovers.ts'

declare module 'vitest' {
  interface ProvidedContext {
    postgres: TestPostgres
  }
}

export interface TestPostgres {
  /** A database to connect to in order to create others; tests do not write to it. */
  adminUrl: string
  /** A migrated database to copy. */
  templateName: string
}

const folderPrefix = 'llmgw-test-'

/**
 * One PostgreSQL a run: an embedded one without fsync in a temporary folder, or that of TEST_DATABASE_URL (whose role
 * must be allowed to create databases). The schema is migrated once into a template that each suite copies. Suites start
 * their own Redis; here it is only made sure that there is a redis-server, if that can be done.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const [server] = await Promise.all([startServer(), installRedisServer(), removeRedisLeftovers()])
  try {
    const templateName = `llmgw_template_${process.pid}`
    await using admin = await openConnection({ url: server.url, purpose: 'test set-up' })
    await admin.query(`drop database if exists ${templateName} with (force)`)
    await admin.query(`create database ${templateName}`)
    await migrateUp({ url: withDatabase(server.url, templateName), log: warningsOnly })
    project.provide('postgres', { adminUrl: server.url, templateName })
    return async () => {
      await server.close(templateName)
    }
  } catch (error) {
    await server.close(undefined)
    throw error
  }
}

interface Server {
  url: string
  close(templateName: string | undefined): Promise<void>
}

async function startServer(): Promise<Server> {
  const given = process.env.TEST_DATABASE_URL
  if (given) {
    return {
      url: given,
      close: async (templateName) => {
        if (!templateName) return
        await using admin = await openConnection({ url: given, purpose: 'test tear-down' })
        await admin.query(`drop database if exists ${templateName} with (force)`)
      },
    }
  }
  await removeLeftovers()
  const dataDir = await mkdtemp(path.join(tmpdir(), `${folderPrefix}${process.pid}-`))
  const remove = () => removeFolder(dataDir)
  // Also when the run ends without its tear-down, and then after the listener by which the server is told to stop.
  process.once('exit', remove)
  try {
    const postgres = await startEmbeddedPostgres({ dataDir, log: warningsOnly, durable: false })
    process.removeListener('exit', remove).once('exit', remove)
    return {
      url: postgres.url,
      close: async () => {
        await postgres.close()
        remove()
        process.removeListener('exit', remove)
      },
    }
  } catch (error) {
    remove()
    process.removeListener('exit', remove)
    throw error
  }
}

/** Synchronously, for exit listeners; a server that is just stopping may still write a file or two. */
function removeFolder(folder: string): void {
  for (let attempt = 0; attempt < 100; attempt++) {
    try {
      rmSync(folder, { recursive: true, force: true })
      return
    } catch {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
    }
  }
}

/** What runs that were killed left behind: their servers are stopped and their folders removed. */
async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = Number(new RegExp(`^${folderPrefix}(\\d+)-`).exec(name)?.[1])
    if (!pid || isAlive(pid)) continue
    const folder = path.join(tmpdir(), name)
    await clearEarlierStart(path.join(folder, 'postgres/data'), warningsOnly)
      .then(() => rm(folder, { recursive: true, force: true }))
      .catch(() => {}) // another user's, or another run is at it
  }
}
