import type { RedisClient } from './redis-client.redis.ts'

export interface RedisScriptDefinition {
  /** Tells scripts apart, within the process. */
  name: string
  lua: string
  /** How many of the arguments are keys; they come first. Undefined: the first argument says how many follow. */
  numberOfKeys?: number
}

/** Runs the script: for use inside `GuardedRedis.run`. Keys come first, as in `KEYS`, then what is in `ARGV`. */
export type RedisScript<Reply> = (client: RedisClient, ...values: (string | number)[]) => Promise<Reply>

/**
 * A Lua script that is sent whole once a connection and named by its hash from then on; whole again when the server has
 * forgotten it. In a cluster all keys must have the same hash tag.
 *
 * `Reply` is what the script returns, as the driver reads it: integers and text, `nil` as null, tables as arrays. It is
 * believed, not checked.
 */
export function createRedisScript<Reply>({ name, lua, numberOfKeys }: RedisScriptDefinition): RedisScript<Reply> {
  const command = `llmgw-${name}`
  return (client, ...values) => {
    // The driver makes a method of each script, which its types cannot know.
    const scripts = client as unknown as Record<string, (...values: (string | number)[]) => Promise<Reply>>
    if (scripts[command] === undefined) {
      client.defineCommand(command, { lua, ...(numberOfKeys !== undefined && { numberOfKeys }) })
    }
    return (scripts[command] as (typeof scripts)[string])(...values)
  }
}
