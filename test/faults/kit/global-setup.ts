import { installRedisServer } from '../../support/install-redis.ts'

/** All other servers the files start themselves; of Redis the program must be there. */
export async function setup(): Promise<void> {
  await installRedisServer()
}
