import { expect, test } from 'vitest'
import type { Log } from '../core/log.ts'
import { type Config, loadConfig } from './load-config.ts'
import type { ConfigProblem } from './problem.ts'
import { createConfigReloader } from './reload.ts'

function setUp(
  over: {
    load?: () => ReturnType<typeof loadConfig>
    apply?: (config: Config) => Promise<readonly ConfigProblem[]>
  } = {},
) {
  const lines: { level: string; fields: object; message: string }[] = []
  const write = (level: string) => (fields: object, message: string) => void lines.push({ level, fields, message })
  const log: Log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
  const applied: Config[] = []
  const apply = async (config: Config): Promise<readonly ConfigProblem[]> => {
    applied.push(config)
    return []
  }
  const reloader = createConfigReloader({
    load: () => loadConfig({}),
    loadSecrets: () => loadConfig({}),
    apply,
    log,
    ...over,
  })
  return { reloader, applied, lines }
}

test('a good file is applied', async () => {
  const { reloader, applied, lines } = setUp()
  const result = await reloader.reload()
  expect(result.ok && result.config).toBe(applied[0])
  expect(lines.map(({ level }) => level)).toEqual(['info'])
})

test('a bad file leaves the one in force and says why', async () => {
  const { reloader, applied, lines } = setUp({ load: () => loadConfig({ LLMGW_PORT: 'x' }) })
  const result = await reloader.reload()
  expect(result).toEqual({
    ok: false,
    problems: [{ path: 'LLMGW_PORT', message: 'expected a whole number from 0 to 65535' }],
  })
  expect(applied).toEqual([])
  expect(lines).toMatchObject([{ level: 'error', fields: { problems: expect.stringContaining('LLMGW_PORT') } }])
})

test('what the database refuses leaves the one in force, too', async () => {
  const problems = [{ path: 'providers[openai]', message: 'is taken' }]
  const { reloader, lines } = setUp({ apply: async () => problems })
  expect(await reloader.reload()).toEqual({ ok: false, problems })
  expect(lines.map(({ level }) => level)).toEqual(['error'])
})

test('a fault while applying is a result, and the next reload works', async () => {
  let failing = true
  const { reloader, lines } = setUp({
    apply: async () => {
      if (failing) throw new Error('database gone')
      return []
    },
  })
  expect((await reloader.reload()).ok).toBe(false)
  expect(lines).toMatchObject([{ level: 'error', fields: { err: { message: 'database gone' } } }])
  failing = false
  expect((await reloader.reload()).ok).toBe(true)
})

test('reloads never overlap, and those that wait are one', async () => {
  let loads = 0
  let running = 0
  let mostRunning = 0
  const gates: (() => void)[] = []
  const { reloader } = setUp({
    load: () => {
      loads++
      return loadConfig({})
    },
    apply: async () => {
      mostRunning = Math.max(mostRunning, ++running)
      await new Promise<void>((resolve) => gates.push(resolve))
      running--
      return []
    },
  })
  const first = reloader.reload()
  await expect.poll(() => gates.length).toBe(1)
  const others = [reloader.reload(), reloader.reload(), reloader.reload()]
  expect(loads).toBe(1)
  gates[0]?.()
  await first
  await expect.poll(() => gates.length).toBe(2)
  expect(loads).toBe(2)
  gates[1]?.()
  const results = await Promise.all(others)
  expect(new Set(results).size).toBe(1)
  expect([loads, mostRunning]).toEqual([2, 1])
})

test('closing waits for the reload under way, and later ones apply nothing', async () => {
  let finish = (): void => {}
  const { reloader } = setUp({
    apply: () =>
      new Promise((resolve) => {
        finish = () => resolve([])
      }),
  })
  const running = reloader.reload()
  await Promise.resolve()
  let closed = false
  const closing = reloader.close().then(() => {
    closed = true
  })
  await Promise.resolve()
  expect(closed).toBe(false)
  finish()
  await closing
  expect((await running).ok).toBe(true)
  expect((await reloader.reload()).ok).toBe(false)
})
