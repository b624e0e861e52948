/** One test run for the whole repository; packages resolve to each other's sources, so it needs no build. */
import { defineConfig } from 'vitest/config';

const conditions = ['clipin-source', 'module', 'node', 'development|production'];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: ['clipin-source', 'node'] } },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'examples/**/*.test.ts', 'tests/**/*.test.ts'],
    // Processes, not worker threads: Dawn crashes when a thread that used it is torn down.
    pool: 'forks',
    // Memory tests collect garbage by hand.
    execArgv: ['--expose-gc'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    reporters: ['default', './tests/property-count.ts'],
  },
});
