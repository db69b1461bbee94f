import type { Browser, Locator, Page, Response } from 'playwright-core'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { chromiumBinary, launchChromium } from '../support/chromium.ts'
import { eventually } from '../support/eventually.ts'
import { makeGatewayHome } from '../support/gateway-home.ts'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'

// A browser may have to be installed.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 400_000 })

const password = 'correct horse battery'

const opened = new AsyncDisposableStack()
let browser: Browser | undefined
let gateway: GatewayProcess
beforeAll(async () => {
  const binary = await chromiumBinary()
  if (binary === undefined) return
  browser = await launchChromium(binary)
  opened.defer(() => browser?.close())
  const home = opened.use(await makeGatewayHome())
  gateway = opened.use(await startGateway({ home }))
})
afterAll(() => opened.disposeAsync())

/** Which the start has printed for a person to follow. */
function printedLink(): string {
  const link = /http:\S+\/setup#token=\S+/.exec(gateway.stderr)?.[0]
  if (!link) throw new Error(`No link in:\n${gateway.stderr}`)
  return link
}

/** Whatever a page asks of anybody else, and whatever its own rules keep it from. */
function watchPage(page: Page, own: string) {
  const elsewhere: string[] = []
  const complaints: string[] = []
  page.on('request', (request) => {
    const url = request.url()
    if (!url.startsWith(own) && !url.startsWith('data:') && !url.startsWith('blob:')) elsewhere.push(url)
  })
  page.on('console', (message) => {
    if (/Content Security Policy|Refused to/.test(message.text())) complaints.push(message.text())
  })
  return { elsewhere, complaints }
}

/** Replaces what stands in an editor, as somebody does who pastes. */
async function write(editor: Locator, text: string): Promise<void> {
  await editor.click()
  await editor.page().keyboard.press('ControlOrMeta+A')
  await editor.page().keyboard.insertText(text)
  // The editor has closed brackets and quotes of its own accord.
  await editor.page().keyboard.press('ControlOrMeta+Shift+End')
  await editor.page().keyboard.press('Delete')
}

/** Opens a tab of the examples, and runs its operation. @returns the answer's data */
// biome-ignore lint/suspicious/noExplicitAny: whatever the operation asks for
async function runExample(page: Page, name: string, input?: object): Promise<any> {
  await page.getByRole('button', { name, exact: true }).click()
  // Until the tab has changed, the button runs what was there before.
  await page.locator('.graphiql-query-editor').getByText(name).first().waitFor()
  if (input)
    await write(
      page.locator('[aria-label="Variables"] .graphiql-editor:not(.hidden) .monaco-editor').first(),
      JSON.stringify({ input }),
    )
  const answered = page.waitForResponse(
    (response: Response) => response.url().endsWith('/graphql') && (response.request().postData() ?? '').includes(name),
  )
  await page.locator('.graphiql-execute-button').click()
  const { data, errors } = await (await answered).json()
  expect(errors).toBeUndefined()
  return data
}

test('a new administrator follows the link, makes a provider, an alias and a key, and sees a call arrive', async (context) => {
  if (!browser) return context.skip('there is no Chromium, and none can be installed')
  const link = printedLink()
  const own = new URL(link).origin
  const page = await browser.newPage()
  const seen = watchPage(page, own)

  await page.goto(link)
  await page.getByLabel('Email address').fill('ada@example.com')
  await page.getByLabel('Name').fill('Ada')
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Create' }).click()
  await page.getByRole('link', { name: 'Sign in to the playground' }).click()

  await page.getByLabel('Email address').fill('ada@example.com')
  await page.getByLabel('Password').fill('a wrong password')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('do not belong together').waitFor()
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()

  const overview = await runExample(page, 'Overview')
  expect(overview.viewer).toMatchObject({ name: 'ada@example.com', roles: [{ role: 'ADMIN' }] })
  const [organization] = overview.organizations.nodes
  const { providerCreate } = await runExample(page, 'CreateProvider')
  expect(providerCreate.errors).toEqual([])
  const { aliasCreate } = await runExample(page, 'CreateAlias', {
    name: 'hello',
    targets: [{ providerId: providerCreate.provider.id, model: 'demo-chat' }],
  })
  expect(aliasCreate.errors).toEqual([])
  const { apiKeyCreate } = await runExample(page, 'CreateKey', { ownerId: organization.id, name: 'first-key' })
  expect(apiKeyCreate.errors).toEqual([])

  await page.getByRole('button', { name: 'Calls', exact: true }).click()
  const socket = page.waitForEvent('websocket')
  await page.locator('.graphiql-execute-button').click()
  await socket
  const requestId = await eventually(
    'a call to be answered and to arrive',
    async () => {
      const response = await fetch(`${gateway.restUrl}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${apiKeyCreate.secret}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'hello', messages: [{ role: 'user', content: 'Hello!' }] }),
      })
      await response.arrayBuffer()
      if (response.status !== 200) return undefined
      const id = response.headers.get('x-request-id') ?? ''
      const shown = page.locator('.graphiql-response').getByText(id)
      return shown.waitFor({ timeout: 5_000 }).then(
        () => id,
        () => undefined,
      )
    },
    60_000,
  )
  expect(await page.locator('.graphiql-response').innerText()).toContain('first-key')
  expect(requestId).toMatch(/^[0-9a-f-]{36}$/)

  // Secrets pass through here, so nothing that was typed or answered stays in the browser.
  expect(
    await page.evaluate(() => JSON.stringify([Object.entries(localStorage), Object.entries(sessionStorage)])),
  ).toBe('[[],[]]')

  // A reload is not the end of a session; signing out is.
  await page.reload()
  await page.locator('.graphiql-execute-button').waitFor()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('button', { name: 'Sign in' }).waitFor()
  await page.reload()
  await page.getByRole('button', { name: 'Sign in' }).waitFor()
  expect(seen).toEqual({ elsewhere: [], complaints: [] })
})
