import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { askAdmin, followSetupLink, keyIn, memberOf, signedIn, tenantOf } from '../support/admin.ts'
import { subscribe, subscriptionUrl } from '../support/admin-subscription.ts'
import { eventually } from '../support/eventually.ts'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'
import { respondWithCompletion, usageOf } from '../support/scripted-upstream.ts'

const costNano = 10 * 1_000 + 20 * 4_000

let gateway: TestGateway
let root: string
let acme: { organizationId: string; teamId: string }
let keySecret: string
beforeAll(async () => {
  gateway = await openTestGateway()
  await followSetupLink(gateway)
  root = await signedIn(gateway)
  acme = await tenantOf(gateway, root, 'acme')
  keySecret = (await keyIn(gateway, root, acme.organizationId, 'of acme')).secret
})
afterAll(() => gateway.close())
beforeEach(() =>
  gateway.upstream.answer((response, request) => respondWithCompletion(response, request, { usage: usageOf(10, 20) })),
)

const url = (): string => subscriptionUrl(gateway)
const call = (key = keySecret) => gateway.chat({ model: 'round-numbers' }, { key })

interface Totals {
  since: string
  until: string
  requests: string
  cost: { nanoUsd: string }
}

/** Watches usage as a dashboard does. */
function watch(token: string, more = '') {
  const query = `subscription { usageTotals(intervalSeconds: 1${more}) { since until requests cost { nanoUsd } } }`
  const watched = subscribe<Totals>(gateway, token, query)
  const sum = (): bigint => watched.events.reduce((total, { cost }) => total + BigInt(cost.nanoUsd), 0n)
  return { ...watched, sum }
}

describe('usageTotals', () => {
  test('tells what calls come to, nothing twice and nothing left out, to whoever may see them', async () => {
    const other = await tenantOf(gateway, root, 'globex')
    const stranger = watch(await memberOf(gateway, root, 'globex-viewer', 'VIEWER', other.organizationId))
    const own = watch(await memberOf(gateway, root, 'acme-viewer', 'VIEWER', acme.organizationId))
    const all = watch(root)
    const team = watch(root, `, ownerId: "${acme.teamId}"`)
    await eventually('all to be watching', () => [stranger, own, all, team].every(({ events }) => events.length > 0))
    for (let round = 0; round < 3; round++) {
      await Promise.all([call(), call(), call(gateway.keySecret)])
      await gateway.allSettled()
    }
    const total = BigInt(9 * costNano)
    await eventually('all calls to be told', () => all.sum() === total && own.sum() === BigInt(6 * costNano))
    const count = all.events.length
    await eventually('two events more', () => all.events.length >= count + 2)
    expect([all.sum(), own.sum(), stranger.sum(), team.sum()]).toEqual([total, BigInt(6 * costNano), 0n, 0n])
    for (const [index, event] of all.events.entries()) {
      if (index > 0) expect(event.since).toBe(all.events[index - 1]?.until)
    }
    const { rows } = await gateway.pool.query(
      'select sum(amount_nano)::text as nano from ledger_entries where budget_period_id is null',
    )
    expect(BigInt(rows[0].nano)).toBe(total)
    await Promise.all([stranger, own, all, team].map(({ client }) => client.dispose()))
  })
})

describe('a socket', () => {
  const closing = (watched: ReturnType<typeof watch>) =>
    watched.failure.then((error) => (error as { code?: number }).code)

  test('is closed when its session is revoked, and when what it may see changes', async () => {
    const token = await memberOf(gateway, root, 'leaver', 'VIEWER')
    const watched = watch(token)
    await eventually('it to watch', () => watched.events.length > 0)
    await askAdmin(gateway, 'mutation { sessionSignOut { ended } }', { token })
    expect(await closing(watched)).toBe(4401)

    const demoted = await memberOf(gateway, root, 'demoted', 'VIEWER')
    const second = watch(demoted)
    await eventually('it to watch', () => second.events.length > 0)
    const { data } = await askAdmin(gateway, '{ adminUsers(search: "demoted") { nodes { roles { id } } } }', {
      token: root,
    })
    const [{ id }] = data.adminUsers.nodes[0].roles
    await askAdmin(gateway, `mutation { roleRevoke(input: { roleBindingId: "${id}" }) { revoked } }`, { token: root })
    expect(await closing(second)).toBe(4401)
  })

  test('is not for strangers, and says so', async () => {
    expect(await closing(watch('no.token.here'))).toBe(4401)
  })

  test('is one of five of its viewer', async () => {
    const token = await memberOf(gateway, root, 'watcher', 'VIEWER')
    const watched = Array.from({ length: 5 }, () => watch(token))
    await eventually('five to watch', () => watched.every(({ events }) => events.length > 0))
    expect(await closing(watch(token))).toBe(4429)
    await Promise.all(watched.map(({ client }) => client.dispose()))
  })

  test('of a page of another origin is refused', async () => {
    const socket = new WebSocket(url(), 'graphql-transport-ws', { headers: { origin: 'https://evil.example' } })
    const error = await new Promise<Error>((resolve) => socket.once('error', resolve))
    expect(error.message).toContain('403')
  })

  test.each([
    ['says nothing', (_socket: WebSocket) => {}, 4408],
    ['says what is no message', (socket: WebSocket) => socket.send('hello'), 4400],
    ['says too much', (socket: WebSocket) => socket.send('x'.repeat(65 * 1024)), 1009],
    [
      'asks before it has said who it is',
      (socket: WebSocket) =>
        socket.send(
          JSON.stringify({
            id: '1',
            type: 'subscribe',
            payload: { query: 'subscription { usageTotals { cost { usd } } }' },
          }),
        ),
      4401,
    ],
  ])('that %s is closed', async (_what, say, code) => {
    const socket = new WebSocket(url(), 'graphql-transport-ws')
    socket.once('open', () => say(socket))
    expect(await new Promise((resolve) => socket.once('close', resolve))).toBe(code)
  })

  test.each([
    ['a query', '{ viewer { name } }', /subscriptions only/],
    ['what the schema does not know', 'subscription { everything }', /Cannot query field/],
    ['an interval of no seconds', 'subscription { usageTotals(intervalSeconds: 0) { cost { usd } } }', /from 1 to 60/],
  ])('is told what is wrong with %s', async (_what, query, words) => {
    const { client } = watch(root)
    const errors = await new Promise((resolve) =>
      client.subscribe({ query }, { next: (result) => resolve(result.errors), error: resolve, complete: () => {} }),
    )
    expect(JSON.stringify(errors)).toMatch(words)
    await client.dispose()
  })
})
