import { expect, test } from 'vitest'
import { parseRedisUrl, readRedisUrl } from './redis-url.ts'

const nobody = { username: undefined, password: undefined }

test('one server, with what may be left out left out', () => {
  expect(parseRedisUrl('redis://cache')).toEqual({
    ...nobody,
    tls: false,
    kind: 'single',
    host: { host: 'cache', port: 6_379 },
    database: 0,
  })
  expect(parseRedisUrl('rediss://app:p%40ss%2F%C3%A9@[::1]:7000/12')).toEqual({
    username: 'app',
    password: 'p@ss/é',
    tls: true,
    kind: 'single',
    host: { host: '::1', port: 7_000 },
    database: 12,
  })
  expect(parseRedisUrl('redis://:secret@10.0.0.1/')).toMatchObject({ username: undefined, password: 'secret' })
})

test('Sentinels, which may have credentials of their own', () => {
  const host = { host: 'b', port: 5 }
  expect(parseRedisUrl('redis+sentinel://u:p@a,b:5/main%20one/3?sentinelPassword=s%26t')).toEqual({
    username: 'u',
    password: 'p',
    tls: false,
    kind: 'sentinel',
    sentinels: [{ host: 'a', port: 26_379 }, host],
    masterName: 'main one',
    database: 3,
    sentinelCredentials: { username: undefined, password: 's&t' },
  })
  expect(parseRedisUrl('rediss+sentinel://b:5/m')).toMatchObject({
    tls: true,
    sentinels: [host],
    masterName: 'm',
    database: 0,
    sentinelCredentials: nobody,
  })
})

test('a cluster, by some of its nodes', () => {
  expect(parseRedisUrl('rediss+cluster://:p@a:7000,[fe80::1]:7001')).toEqual({
    username: undefined,
    password: 'p',
    tls: true,
    kind: 'cluster',
    nodes: [
      { host: 'a', port: 7_000 },
      { host: 'fe80::1', port: 7_001 },
    ],
  })
})

test.each([
  ['', 'expected redis://'],
  ['http://h', 'expected redis://'],
  ['redis:h:6379', 'expected redis://'],
  ['redis+socket://h', 'expected redis://'],
  ['redis://u:p@w@h', 'expected redis://'],
  ['redis://u:p/w@h', 'expected hosts'],
  ['redis://u:100%@h', 'percent-encoded'],
  ['redis://h:0', 'expected hosts'],
  ['redis://h:65536', 'expected hosts'],
  ['redis://h:port', 'expected hosts'],
  ['redis://a,b', 'expected one host'],
  ['redis://h/cache', 'expected the number of a database'],
  ['redis://h/1024', 'expected the number of a database'],
  ['redis://h/0/1', 'expected the number of a database'],
  ['redis://h?db=1', 'expected no parameters'],
  ['redis+sentinel://h', 'expected the name of the master'],
  ['redis+sentinel://h/m/x', 'expected the number of a database'],
  ['redis+sentinel://h/m?password=x', 'expected no parameters but'],
  ['redis+sentinel://a,,b/m', 'expected hosts'],
  ['redis+cluster://h/1', 'expected no database'],
])('%s is refused', (text, problem) => {
  expect(parseRedisUrl(text)).toEqual({ problem: expect.stringContaining(problem) })
})

test('what is wrong is said without the password', () => {
  for (const text of ['redis://u:hunter2@h:x', 'redis://u:hunter2%@h', 'redis://u:hunter2@h/db', 'x://u:hunter2@h']) {
    expect(JSON.stringify(parseRedisUrl(text))).not.toContain('hunter2')
    expect(() => readRedisUrl(text)).toThrow(expect.not.stringContaining('hunter2'))
  }
})
