import { defineConfig } from 'vitest/config'

/**
 * Unit tests sit beside the file they prove and need nothing; the suites under test/ get a PostgreSQL (one embedded
 * cluster per run, a migrated template database copied for each file) from test/support/global-setup.ts.
 */
export default defineConfig({
  test: {
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
