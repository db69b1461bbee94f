import { setImmediate as turn } from 'node:timers/promises'
import type { World } from './world.ts'

/** Resolves once nothing goes on any more but what waits for the scheduler: files are read, promises are settled. */
export async function quiet(world: Pick<World, 'outside'>): Promise<void> {
  for (let quietTurns = 0; quietTurns < 2; ) {
    await turn()
    const isBusy = world.outside > 0 || process.getActiveResourcesInfo().some((name) => /^(FSReq|CloseReq)/.test(name))
    quietTurns = isBusy ? 0 : quietTurns + 1
  }
}
