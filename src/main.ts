import cluster from 'node:cluster'
import { createConfigLoader } from './config/load-config.ts'
import { workerArgument } from './workers/worker-argument.ts'

if (cluster.isWorker && process.argv.includes(workerArgument)) {
  const { runWorker } = await import('./workers/worker.ts')
  await runWorker(process.env)
} else {
  const { runProcess } = await import('./process.ts')
  process.exitCode = await runProcess(createConfigLoader(process.env))
}
