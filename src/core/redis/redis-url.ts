/** Where Redis is, read from a `REDIS_URL`. The password is in it: it is for connecting, never for printing. */
export type RedisTarget = RedisCredentials & {
  /** Encrypted connections; certificates are checked against the roots that Node knows. */
  tls: boolean
} & (
    | { kind: 'single'; host: RedisHost; database: number }
    | {
        kind: 'sentinel'
        sentinels: readonly [RedisHost, ...RedisHost[]]
        masterName: string
        database: number
        /** For the Sentinels themselves; those of the URL are for Redis. */
        sentinelCredentials: RedisCredentials
      }
    /** Any nodes of the cluster; the others are learned from them. */
    | { kind: 'cluster'; nodes: readonly [RedisHost, ...RedisHost[]] }
  )

export interface RedisCredentials {
  username: string | undefined
  password: string | undefined
}

export interface RedisHost {
  /** A name, an IPv4 address, or an IPv6 address without brackets. */
  host: string
  port: number
}

const form = /^redis(s?)(?:\+(sentinel|cluster))?:\/\/(?:([^@/?#]*)@)?([^@/?#]+)(?:\/([^?#]*))?(?:\?([^#]*))?$/
const databaseMax = 1_023

/**
 * - `redis://user:password@host:6379/0`
 * - `redis+sentinel://user:password@host:26379,host:26379/master-name/0`
 * - `redis+cluster://user:password@host:7000,host:7000`
 *
 * `rediss` in place of `redis` encrypts. Ports and the database have their defaults; what is special in a password is
 * percent-encoded.
 *
 * @returns what is wrong, in words that do not repeat the text, when it is none of these
 */
export function parseRedisUrl(text: string): RedisTarget | { problem: string } {
  const parts = form.exec(text)
  if (!parts) return { problem: formProblem }
  const [, secure, kind = 'single', userInfo, hostList = '', path = '', query = ''] = parts
  const credentials = credentialsOf(userInfo)
  if (!credentials) return { problem: 'expected special characters in user and password to be percent-encoded' }
  const hosts = hostList.split(',').map((each) => hostOf(each, kind === 'sentinel' ? 26_379 : 6_379))
  const [first, ...others] = hosts.filter((host) => host !== undefined)
  if (!first || others.length + 1 < hosts.length) return { problem: 'expected hosts as name, name:port or [IPv6]:port' }
  const common = { ...credentials, tls: secure === 's' }

  if (kind === 'sentinel') {
    const [master = '', database] = path.split(/\/(.*)/s)
    const masterName = decoded(master)
    if (!masterName) return { problem: 'expected the name of the master after the Sentinels, as in …:26379/mymaster' }
    const sentinelCredentials = sentinelCredentialsOf(query)
    if (!sentinelCredentials) return { problem: 'expected no parameters but sentinelUsername and sentinelPassword' }
    const number = databaseOf(database)
    if (number === undefined) return { problem: databaseProblem }
    return { ...common, kind, sentinels: [first, ...others], masterName, database: number, sentinelCredentials }
  }
  if (query !== '') return { problem: 'expected no parameters after a question mark' }
  if (kind === 'cluster') {
    if (databaseOf(path) !== 0) return { problem: 'expected no database: a cluster has none but 0' }
    return { ...common, kind, nodes: [first, ...others] }
  }
  if (others.length > 0) {
    return { problem: 'expected one host; several need redis+sentinel:// or redis+cluster://' }
  }
  const database = databaseOf(path)
  return database === undefined ? { problem: databaseProblem } : { ...common, kind: 'single', host: first, database }
}

/** For a URL that was looked at before. @throws RangeError for what `parseRedisUrl` finds wrong */
export function readRedisUrl(text: string): RedisTarget {
  const parsed = parseRedisUrl(text)
  if ('problem' in parsed) throw new RangeError(`The URL of Redis is wrong: ${parsed.problem}.`)
  return parsed
}

const formProblem =
  'expected redis://user:password@host:6379/0, redis+sentinel://host:26379,host:26379/master or redis+cluster://host:7000,host:7000 ' +
  '(rediss for TLS), special characters in the password percent-encoded'

const databaseProblem = `expected the number of a database, from 0 to ${databaseMax}, at the end of the path`

/** @returns undefined when a part is not what percent-encoding makes */
function credentialsOf(userInfo: string | undefined): RedisCredentials | undefined {
  if (userInfo === undefined) return { username: undefined, password: undefined }
  const at = userInfo.indexOf(':')
  const username = decoded(at < 0 ? userInfo : userInfo.slice(0, at))
  const password = at < 0 ? '' : decoded(userInfo.slice(at + 1))
  if (username === undefined || password === undefined) return undefined
  return { username: username || undefined, password: password || undefined }
}

function sentinelCredentialsOf(query: string): RedisCredentials | undefined {
  const parameters = new URLSearchParams(query)
  for (const name of parameters.keys()) {
    if (name !== 'sentinelUsername' && name !== 'sentinelPassword') return undefined
  }
  return {
    username: parameters.get('sentinelUsername') || undefined,
    password: parameters.get('sentinelPassword') || undefined,
  }
}

function hostOf(text: string, portDefault: number): RedisHost | undefined {
  const parts = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(text)
  const host = parts?.[1] ?? parts?.[2]
  const port = Number(parts?.[3] ?? portDefault)
  return host !== undefined && port >= 1 && port <= 65_535 ? { host, port } : undefined
}

function databaseOf(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return 0
  return /^\d{1,4}$/.test(text) && Number(text) <= databaseMax ? Number(text) : undefined
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined // URIError: a stray percent sign
  }
}
