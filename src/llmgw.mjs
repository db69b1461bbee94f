#!/usr/bin/env node
// What package.json names as the `llmgw` command: JavaScript, so that an old Node gets as far as the advice.
import './node-version.mjs'

await import('./cli.ts')
