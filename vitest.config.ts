import { defineConfig } from 'vitest/config'
import { SkipReport } from './test/support/skip-report.ts'

/**
 * Unit tests sit beside the file they prove and need nothing; the suites under test/ get a PostgreSQL (one embedded
 * cluster per run, a migrated template database copied for each file) from test/support/global-setup.ts. A test that
 * needs a server that is not there calls `skip('no Redis found')`, and the end of the output says so. Those under
 * test/faults/ start all their servers themselves, in order to break them.
 */
export default defineConfig({
  // As Node.js resolves it: what is inlined here and what is not must have one GraphQL, or neither knows the other's types.
  resolve: { alias: [{ find: /^graphql$/, replacement: 'graphql/index.js' }] },
  test: {
    reporters: ['default', new SkipReport()],
    // Of those of one file: some start three processes each.
    maxConcurrency: 3,
    projects: [
      // Property tests take a second or two on a machine of their own; a busy one must not make them fail.
      { extends: true, test: { name: 'unit', include: ['src/**/*.test.ts'], testTimeout: 30_000 } },
      {
        extends: true,
        test: {
          name: 'suites',
          include: ['test/**/*.test.ts'],
          exclude: ['test/faults/**'],
          globalSetup: ['test/support/global-setup.ts'],
          // Mostly they wait for servers: more files at once than there are cores.
          maxWorkers: 3,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      // After the others, for with three gateways to each file it wants the machine for itself; three at a time, for
      // mostly it waits.
      {
        extends: true,
        test: {
          name: 'faults',
          include: ['test/faults/**/*.test.ts'],
          globalSetup: ['test/faults/kit/global-setup.ts'],
          sequence: { groupOrder: 1 },
          maxWorkers: 3,
        },
      },
    ],
  },
})
