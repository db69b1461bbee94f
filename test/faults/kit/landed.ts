import { readFileSync } from 'node:fs'
import path from 'node:path'
import { checkout } from '../../support/gateway-process.ts'

const compositionRoot = readFileSync(path.join(checkout, 'src/gateway.ts'), 'utf8')

/** Whether the gateway of this checkout limits rates. */
export const limitsRates = !compositionRoot.includes('takeLimits: () => undefined')
