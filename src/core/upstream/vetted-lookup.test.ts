import type { LookupAddress } from 'node:dns'
import { describe, expect, test } from 'vitest'
import { createAddressGuard } from './address-guard.ts'
import { atMost, createVettedLookup, type VettedLookup, type VettedLookupOptions } from './vetted-lookup.ts'

const at = (address: string): LookupAddress => ({ address, family: address.includes(':') ? 6 : 4 })

/** A resolver whose answers a test sets, and that counts what it is asked. */
function scripted(options: VettedLookupOptions = {}, allowed: string[] = []) {
  const asked: string[] = []
  const script = {
    asked,
    nowMs: 0,
    answer: (_: string): Promise<LookupAddress[]> => Promise.resolve([at('8.8.8.8')]),
  }
  const lookup = createVettedLookup(createAddressGuard(allowed), {
    resolve: (name) => {
      asked.push(name)
      return script.answer(name)
    },
    nowMs: () => script.nowMs,
    ...options,
  })
  return { script, all: (name: string) => look(lookup, name, { all: true }), lookup }
}

const look = (lookup: VettedLookup, name: string, options: Parameters<VettedLookup>[1]) =>
  new Promise<unknown>((resolve, reject) => {
    lookup(name, options, (error, address) => (error ? reject(error) : resolve(address)))
  })

test('all addresses are handed out, so that the connection can try both families', async () => {
  const { script, all, lookup } = scripted()
  script.answer = async () => [at('2606:4700::1111'), at('1.1.1.1')]
  expect(await all('a.example')).toEqual([at('2606:4700::1111'), at('1.1.1.1')])
  expect(await look(lookup, 'a.example', {})).toBe('2606:4700::1111')
  expect(await look(lookup, 'a.example', { family: 4 })).toBe('1.1.1.1')
  expect(await look(lookup, 'a.example', { family: 'IPv6', all: true })).toEqual([at('2606:4700::1111')])
})

test('one address that is refused refuses the name', async () => {
  const { script, all } = scripted()
  script.answer = async () => [at('1.1.1.1'), at('::ffff:10.0.0.1')]
  await expect(all('a.example')).rejects.toMatchObject({ code: 'ADDRESS_REFUSED' })
})

test('the system resolves localhost, and it is refused', async () => {
  const lookup = createVettedLookup(createAddressGuard([]))
  await expect(look(lookup, 'localhost', { all: true })).rejects.toMatchObject({ code: 'ADDRESS_REFUSED' })
})

test('a family that a name does not have is an error with its name', async () => {
  const { lookup } = scripted()
  await expect(look(lookup, 'a.example', { family: 6 })).rejects.toThrow('a.example has no address of IPv6.')
})

describe('a name that changes', () => {
  test('is vetted anew whenever it is resolved anew, and its old addresses do not come back', async () => {
    const { script, all } = scripted()
    await all('a.example')
    script.answer = async () => [at('169.254.169.254')]
    script.nowMs = 5_001
    await expect(all('a.example')).rejects.toMatchObject({ code: 'ADDRESS_REFUSED' })
    await expect(all('a.example')).rejects.toMatchObject({ code: 'ADDRESS_REFUSED' })
  })

  test('is asked for once in 5 s', async () => {
    const { script, all } = scripted()
    await all('a.example')
    script.nowMs = 4_999
    await all('A.example')
    expect(script.asked).toEqual(['a.example'])
    script.nowMs = 5_000
    await all('a.example')
    expect(script.asked).toHaveLength(2)
  })
})

describe('a resolver in trouble', () => {
  test('known addresses are used for a minute', async () => {
    const { script, all } = scripted()
    await all('a.example')
    script.answer = () => Promise.reject(new Error('SERVFAIL'))
    script.nowMs = 59_999
    expect(await all('a.example')).toEqual([at('8.8.8.8')])
    script.nowMs = 60_000
    await expect(all('a.example')).rejects.toThrow('SERVFAIL')
  })

  test('a name that does not resolve in time is given up, and asked for only once meanwhile', async () => {
    const { script, all } = scripted({ timeoutMs: 1 })
    const answered = Promise.withResolvers<LookupAddress[]>()
    script.answer = () => answered.promise
    const tries = await Promise.allSettled([all('a.example'), all('a.example'), all('a.example')])
    for (const { status } of tries) expect(status).toBe('rejected')
    await expect(all('a.example')).rejects.toThrow('Resolving a.example took more than 1 ms.')
    expect(script.asked).toEqual(['a.example'])
    answered.resolve([at('8.8.8.8')])
    await answered.promise
    expect(await all('a.example')).toEqual([at('8.8.8.8')])
  })

  test('three names at most take up a thread each, the next begins when one is done', async () => {
    const { script, all } = scripted({ resolve: atMost(3, (name) => asked(name)) })
    const asked = (name: string) => {
      script.asked.push(name)
      return script.answer(name)
    }
    const answers = new Map<string, PromiseWithResolvers<LookupAddress[]>>()
    script.answer = (name) => {
      const answer = Promise.withResolvers<LookupAddress[]>()
      answers.set(name, answer)
      return answer.promise
    }
    const looked = ['a', 'b', 'c', 'd'].map(all)
    await Promise.resolve()
    expect(script.asked).toEqual(['a', 'b', 'c'])
    answers.get('b')?.resolve([at('1.1.1.1')])
    expect(await looked[1]).toEqual([at('1.1.1.1')])
    expect(script.asked).toEqual(['a', 'b', 'c', 'd'])
    for (const answer of answers.values()) answer.resolve([at('8.8.8.8')])
    await Promise.all(looked)
  })
})
