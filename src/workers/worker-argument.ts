/** Tells a process that it is one of our workers: process managers have their own, which begin like anybody else. */
export const workerArgument = '--llmgw-worker'
