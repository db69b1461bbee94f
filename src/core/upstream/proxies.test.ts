import { describe, expect, test } from 'vitest'
import { createProxies, type ProxySettings, readProxyUrl } from './proxies.ts'

/** Host and port of the proxy on the way to a URL; undefined for none. */
function wayTo(url: string, settings: Partial<ProxySettings>): string | undefined {
  const { protocol, hostname, port } = new URL(url)
  const proxies = createProxies({ http: undefined, https: undefined, direct: undefined, ...settings })
  const proxy = proxies.proxyFor({ protocol, hostname, port: port ? Number(port) : undefined })
  return proxy && `${proxy.hostname}:${proxy.port}`
}

const both = { http: 'http://plain.proxy:3128', https: 'https://secure.proxy' }

test('each protocol has a proxy of its own', () => {
  expect(wayTo('https://api.example', both)).toBe('secure.proxy:443')
  expect(wayTo('http://api.example', both)).toBe('plain.proxy:3128')
  expect(wayTo('https://api.example', { http: both.http })).toBeUndefined()
})

describe('directly', () => {
  test.each([
    ['*', 'https://api.example'],
    ['api.example', 'https://api.example'],
    ['API.example.', 'https://api.example'],
    ['example', 'https://api.example'],
    ['.api.example', 'https://api.example'],
    ['.api.example', 'https://eu.api.example'],
    ['*.api.example', 'https://eu.api.example'],
    ['other.example, api.example', 'https://api.example'],
    ['other.example api.example', 'https://api.example'],
    ['api.example:443', 'https://api.example'],
    ['10.0.0.0/8', 'http://10.1.2.3:8000'],
    ['10.1.2.3', 'http://10.1.2.3:8000'],
    ['fd00::/8', 'http://[fd12::1]'],
    ['fd12::1', 'http://[fd12::1]'],
    ['[fd12::1]:80', 'http://[fd12::1]'],
    ['', 'http://localhost:11434'],
    ['', 'http://a.localhost'],
    ['', 'http://127.0.0.1:11434'],
    ['', 'http://[::1]'],
  ])('with NO_PROXY "%s": %s', (direct, url) => {
    expect(wayTo(url, { ...both, direct })).toBeUndefined()
  })

  test.each([
    ['api.example', 'https://notapi.example'],
    ['api.example', 'https://api.example.evil.example'],
    ['api.example:8443', 'https://api.example'],
    ['10.0.0.0/8', 'http://11.0.0.1'],
    ['0.0.1', 'http://10.0.0.1'],
    [', ,', 'https://api.example'],
  ])('not with NO_PROXY "%s": %s', (direct, url) => {
    expect(wayTo(url, { ...both, direct })).toBeDefined()
  })

  test.each(['10.0.0.0/33', '10.0.0.0/x', 'host/8'])('%s is refused by its number', (wrong) => {
    const direct = `api.example, ${wrong}`
    expect(() => createProxies({ http: undefined, https: undefined, direct })).toThrow('number 2 is none of these')
  })
})

describe('the URL of a proxy', () => {
  test('may have user and password, percent-encoded', () => {
    const { authorization } = readProxyUrl('http://us%40er:p%3Ass@proxy:3128')
    expect(authorization).toBe(`Basic ${Buffer.from('us@er:p:ss').toString('base64')}`)
    expect(readProxyUrl('http://proxy:3128').authorization).toBeUndefined()
  })

  test('may lack its scheme, as custom has it', () => {
    expect(readProxyUrl('proxy:3128')).toMatchObject({ protocol: 'http:', hostname: 'proxy', port: 3128 })
  })

  test.each(['socks5://s3cret@proxy:1080', 'http://user:s3cret%@proxy', 'http://', 'http://a b s3cret'])(
    '%s is refused in words that do not repeat it',
    (text) => {
      const refused = (): unknown => readProxyUrl(text)
      expect(refused).toThrow(RangeError)
      expect(refused).toThrow(/^(?!.*s3cret)/)
    },
  )
})
