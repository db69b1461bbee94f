import { defineConfig } from 'vitest/config'
import { SkipReport } from './test/support/skip-report.ts'

/**
 * Unit tests sit beside the file they prove and need nothing; the suites under test/ get a PostgreSQL (one embedded
 * cluster per run, a migrated template database copied for each file) from test/support/global-setup.ts. A test that
 * needs a server that is not there calls `skip('no Redis found')`, and the end of the output says so.
 */
export default defineConfig({
  test: {
    reporters: ['default', new SkipReport()],
    projects: [
      { test: { name: 'unit', include: ['src/**/*.test.ts'] } },
      {
        test: {
          name: 'suites',
          include: ['test/**/*.test.ts'],
          globalSetup: ['test/support/global-setup.ts'],
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
})
