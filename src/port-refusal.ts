import { StartRefusal } from './core/start-refusal.ts'

/** Turns what listening on a port throws into words for an operator. @param variable - which sets the port */
export const portRefusal =
  (variable: string) =>
  (error: NodeJS.ErrnoException): never => {
    const why =
      error.code === 'EADDRINUSE' ? 'is in use by another process' : `cannot be listened on (${error.code ?? error})`
    throw new StartRefusal('port_unusable', `The port of ${variable} ${why}. Choose another one with ${variable}.`, {
      cause: error,
    })
  }
