import { afterAll, beforeAll, beforeEach } from 'vitest'
import { redisServerBinary } from '../../support/redis-server-binary.ts'
import { openWorld, type World, type WorldOptions } from './world.ts'

/**
 * A world for all tests of a file, open as long as they run. Where there is no redis-server they are skipped, for without
 * one there are no several replicas.
 *
 * @param prepare - what all of them need, once
 * @returns gives the world, in hooks and tests
 */
export function worldOfFile(
  prepare: (world: World) => Promise<void> = async () => {},
  options?: WorldOptions,
): () => World {
  const isPossible = redisServerBinary() !== undefined
  let opened: World | undefined
  const world = (): World => {
    if (!opened) throw new Error('The world is not open yet, or no more.')
    return opened
  }
  beforeAll(async () => {
    if (!isPossible) return
    opened = await openWorld(options)
    await prepare(opened)
  })
  afterAll(async () => {
    await opened?.[Symbol.asyncDispose]()
    opened = undefined
  })
  beforeEach(({ skip }) => {
    if (!isPossible) skip('no redis-server found')
    world().explainFailures()
  })
  return world
}
