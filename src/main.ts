import { createConfigLoader } from './config/load-config.ts'
import { runProcess } from './process.ts'

process.exitCode = await runProcess(createConfigLoader(process.env))
