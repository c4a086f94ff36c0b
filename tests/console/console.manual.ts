/**
 * The console in a real browser: each page over plain HTTP with the name of a host, behind nginx with TLS, and at the
 * width of a phone. No error on the browser's console, nothing that axe finds serious, and the pictures of docs/console.md.
 *
 *   node --conditions=development --test tests/console/console.manual.ts
 */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { after, test } from 'node:test'
import { connect } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { type Browser, chromium, type Locator, type Page } from 'playwright-core'
import { backing } from '../harness/backing.ts'
import { Context, Uuid } from '../harness/client.ts'
import { ADMINISTRATION_TOKEN, Cluster } from '../harness/launch.ts'
import { freePort } from '../harness/ports.ts'
import { makeCertificate, Shell } from '../hosting/installation.ts'
import { startNginx } from '../hosting/nginx.ts'
import { whatAnOperatorDoes } from '../hosting/operations.ts'

const HOST = 'parsec.example.com'
const READER = 'token-that-only-reads'
const IMAGES = fileURLToPath(new URL('../../docs/images/', import.meta.url))
const MAX_IMAGE = 150_000
const DESKTOP = { width: 1200, height: 800 }
const PHONE = { width: 390, height: 844 }
const DAY_MS = 86_400_000
/** The one that is shown first comes last, so that each is gone to. */
const PAGES = ['Organizations', 'Connections', 'Services', 'Warnings', 'Overview']

const axe = await readFile(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8')
await backing('chromium')
const browser = await chromium.launch({
  executablePath: inPath('chromium'),
  args: ['--no-sandbox', `--host-resolver-rules=MAP ${HOST} 127.0.0.1`],
})
const shell = await Shell.open()
const tokens = join(shell.folder, 'tokens')
await writeFile(tokens, `console read,write ${ADMINISTRATION_TOKEN}\nauditor read ${READER}\n`)
const cluster = await Cluster.start({
  topology: 'shared',
  debug: false,
  flags: [`--administration-token-file=${tokens}`, '--trusted-proxies=127.0.0.1'],
})
const { port } = new URL(cluster.url)
const plain = `http://${HOST}:${port}`

/** Organizations that have names. */
class Named extends Context {
  readonly #names = ['Acme', 'Borealis', 'Cascade']
  override freshId(): string {
    return this.#names.shift() ?? super.freshId()
  }
}
const client = new Named({ url: cluster.url, token: ADMINISTRATION_TOKEN, target: 'ours', features: new Set() })
await fill()

after(async () => {
  await browser.close()
  await client.end()
  await cluster.stop()
  await shell.close()
})

/** Rows of "what an operator does". */
const done = new Set<string>()
function did(what: string): void {
  assert.ok(
    whatAnOperatorDoes().some(row => row.what === what && row.place !== '–'),
    what,
  )
  done.add(what)
}

test('over plain HTTP: every page, and everything that it can do', async () => {
  const page = await open(browser, { viewport: DESKTOP })
  await page.goto(`${plain}/administration/`)
  await examine(page, 'sign-in')
  await keyboard(page)

  // Overview
  await page.getByRole('figure', { name: 'Requests' }).locator('canvas').waitFor()
  await page.getByRole('figure', { name: 'Organizations' }).locator('canvas').waitFor()
  await page.getByRole('figure', { name: 'Organizations' }).getByText('Numbers').click()
  await page.getByRole('region', { name: 'Organizations (table)' }).getByRole('row').nth(20).waitFor()
  await page.getByRole('figure', { name: 'Organizations' }).getByText('Numbers').click()
  await examine(page, 'overview')

  // A new organization
  await visit(page, 'Organizations')
  await page.getByRole('link', { name: 'Acme' }).waitFor()
  await examine(page, 'organizations')
  await page.getByLabel('Search').fill('bor')
  await page.getByRole('link', { name: 'Acme' }).waitFor({ state: 'detached' })
  await page.getByRole('link', { name: 'Borealis' }).waitFor()
  await page.getByLabel('Search').fill('')
  await page.getByRole('button', { name: 'Data', exact: true }).click()
  await page
    .getByRole('columnheader', { name: 'Data', exact: true })
    .and(page.locator('[aria-sort=ascending]'))
    .waitFor()
  await page.getByRole('link', { name: 'New organization' }).click()
  await page.getByLabel('Name').fill('not a name')
  await page.getByRole('button', { name: 'Create' }).click()
  await page.getByRole('alert').getByText('organization_id').waitFor()
  await page.getByLabel('Name').fill('Dunes')
  await page.getByLabel('Most active users').fill('25')
  await page.getByRole('button', { name: 'Create' }).click()
  const link = page.getByLabel('Bootstrap link', { exact: true })
  assert.match(await link.inputValue(), /^parsec:\/\/[^/]+\/Dunes\?action=bootstrap_organization&token=\w{64}/)
  await page.getByRole('img', { name: 'Bootstrap link as QR code' }).waitFor()
  await page.getByRole('button', { name: 'Copy' }).click()
  await page.getByText('The link is copied.').waitFor()
  did('Create an organization')
  await examine(page, 'new-organization')

  // Its settings, its end
  await page.getByRole('link', { name: 'Show the organization' }).click()
  await page.getByRole('button', { name: 'Show the link' }).click()
  await page.getByRole('img', { name: 'Bootstrap link as QR code' }).waitFor()
  did('Show the link for its first user again')
  await page.getByLabel('Most active users').fill('')
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await page.getByText('The settings are saved.').waitFor()
  did('Change its limits')
  await page.getByLabel('Closes by itself on').fill('2999-01-31')
  await page.getByRole('button', { name: 'Save the day' }).click()
  await page.getByText('It closes on 2999-01-31.').waitFor()
  did('Close it at a date')
  await page.getByRole('button', { name: 'Close now' }).click()
  await answer(page, 'Close Dunes?', 'Close now')
  await page.getByRole('button', { name: 'Open again' }).click()
  await page.getByRole('button', { name: 'Close now' }).waitFor()
  did('Close it at once')
  did('Open it again')
  await page.getByRole('button', { name: 'Delete …' }).click()
  const dialog = page.getByRole('dialog', { name: 'Delete Dunes?' })
  await dialog.getByText('0 users, 0 realms and 0 B of data go for good.').waitFor()
  await examine(page)
  assert.ok(await dialog.getByRole('button', { name: 'Delete for good' }).isDisabled())
  await dialog.getByLabel('Type the name').fill('Dunes')
  await dialog.getByRole('button', { name: 'Delete for good' }).click()
  await page.getByRole('heading', { name: 'Organizations', level: 1 }).waitFor()
  await page.getByText('Dunes is deleted.').waitFor()
  await page.getByRole('link', { name: 'Acme' }).waitFor()
  assert.equal(await page.getByRole('link', { name: 'Dunes' }).count(), 0)
  did('Delete it for good, with the code that the first call (without it) tells')
  did('See all organizations')

  // Users
  await page.getByRole('link', { name: 'Acme' }).click()
  const bob = page.getByRole('row', { name: /Bob Baker/ }).first()
  await bob.getByText('active').waitFor()
  await page.getByRole('region', { name: 'Realms, largest first' }).waitFor()
  await page.getByRole('region', { name: 'Users, largest first' }).waitFor()
  did('See one organization')
  did('See its users, and when they were last here')
  did('See what takes how much room')
  did('See who takes how much room')
  await examine(page, 'organization')
  await bob.getByRole('button', { name: 'Freeze Bob Baker' }).click()
  await bob.getByText('frozen').waitFor()
  did('Keep a user out')
  await bob.getByRole('button', { name: 'Unfreeze Bob Baker' }).click()
  await bob.getByText('active').waitFor()
  did('Let the user back in')
  await page.getByRole('button', { name: '2 devices of Alice Archer' }).click()
  await page.getByRole('dialog').getByRole('row').nth(2).waitFor()
  did('See the devices of a user')
  await examine(page)
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })

  // Connections
  await visit(page, 'Connections')
  const connection = page.getByRole('row', { name: /alice/ }).first()
  await connection.waitFor()
  await examine(page, 'connections')
  did('See who is connected')
  const open_ = await page.getByRole('row', { name: /alice/ }).count()
  await connection.getByRole('button', { name: 'Cut' }).click()
  await answer(page, /^Cut the connection of/, 'Cut')
  await page.getByText('The connection is cut.').waitFor()
  did('Cut a connection')
  await until(async () => (await page.getByRole('row', { name: /alice/ }).count()) === open_ - 1)

  // Services, nodes, mail
  await visit(page, 'Services')
  await page
    .getByRole('row', { name: /^gateway/ })
    .nth(2)
    .waitFor()
  did('See services, versions and readiness')
  await page.getByRole('row', { name: /POSTGRESQL/ }).waitFor()
  did('See the nodes of the block store')
  await page.getByLabel('Send a mail to').fill('you@example.com')
  await page.getByRole('button', { name: 'Send', exact: true }).click()
  await page.getByText('The mail server took the mail to you@example.com').waitFor()
  did('Try whether mails leave')
  await examine(page, 'services')

  await visit(page, 'Warnings')
  await page.getByRole('table').getByText('warning').first().waitFor()
  did('See the last warnings of all logs')
  await examine(page, 'warnings')

  await page.goto(`${plain}/administration/#/no-such-page`)
  await page.reload()
  await signIn(page, ADMINISTRATION_TOKEN)
  await page.getByRole('heading', { name: 'Not found' }).waitFor()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByLabel('Administration token').waitFor()
  await page.context().close()
  const inConsole = whatAnOperatorDoes().filter(({ place }) => place !== '–')
  assert.deepEqual(
    inConsole.map(({ what }) => what).filter(what => !done.has(what)),
    [],
    'every row of docs/operations.md that has a place in the console was done there',
  )
})

test('a token that may only read sees everything, and nothing that would be refused', async () => {
  const page = await open(browser, { viewport: DESKTOP })
  await page.goto(`${plain}/administration/`)
  await signIn(page, READER)
  await page.getByText('auditor (may only read)').waitFor()
  await visit(page, 'Organizations')
  await page.getByRole('link', { name: 'Acme' }).click()
  await page.getByRole('button', { name: '2 devices of Alice Archer' }).waitFor()
  for (const name of [/freeze/i, 'Save', 'Delete …', 'Close now', 'Show the link'])
    assert.equal(await page.getByRole('button', { name }).count(), 0, `${name}`)
  await visit(page, 'Services')
  await page
    .getByRole('row', { name: /^gateway/ })
    .first()
    .waitFor()
  assert.equal(await page.getByLabel('Send a mail to').count(), 0)
  await page.context().close()
})

test('behind nginx with TLS, in the dark', async t => {
  const [secure, redirecting] = [await freePort(), await freePort()]
  await makeCertificate(shell.folder, 'proxy')
  const nginx = await startNginx(shell.folder, { port: Number(port), secure, plain: redirecting })
  t.after(() => nginx.end())
  const page = await open(browser, { viewport: DESKTOP, colorScheme: 'dark', ignoreHTTPSErrors: true })
  await page.goto(`https://${HOST}:${secure}/administration/`)
  await examine(page)
  await signIn(page, ADMINISTRATION_TOKEN)
  await everyPage(page, 'dark')
  await swagger(page, `https://${HOST}:${secure}`)
  await page.context().close()
})

test('on a phone', async () => {
  const page = await open(browser, { viewport: PHONE, hasTouch: true, isMobile: true })
  await page.goto(`${plain}/administration/`)
  await examine(page)
  await signIn(page, ADMINISTRATION_TOKEN)
  await everyPage(page, 'phone')
  await swagger(page, plain)
  await page.context().close()
})

test('a server that goes away is told of, and what was shown stays', async () => {
  const page = await open(browser, { viewport: DESKTOP }, [/ERR_|503/])
  await page.goto(`${plain}/administration/`)
  await signIn(page, ADMINISTRATION_TOKEN)
  await visit(page, 'Organizations')
  await page.getByRole('link', { name: 'Acme' }).waitFor()
  await page.context().setOffline(true)
  await page.getByRole('button', { name: 'Reload organizations' }).click()
  await page.getByText('The server cannot be reached.').waitFor()
  await page.getByRole('link', { name: 'Acme' }).waitFor()
  await examine(page)
  await page.context().setOffline(false)
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.getByText('The server cannot be reached.').waitFor({ state: 'detached' })
  await page.context().close()
})

/** Where a program is. */
function inPath(name: string): string {
  const found = process.env['PATH']!.split(delimiter)
    .map(folder => join(folder, name))
    .find(file => existsSync(file))
  assert.ok(found, `${name} is not in PATH`)
  return found
}

test('the welcome page', async () => {
  for (const options of [{ viewport: DESKTOP }, { viewport: PHONE, colorScheme: 'dark' as const }]) {
    const page = await open(browser, options)
    await page.goto(`${plain}/`)
    await page.getByRole('heading', { name: 'Parsec server' }).waitFor()
    await examine(page, 'colorScheme' in options ? undefined : 'welcome')
    await page.getByRole('link', { name: 'administration console' }).click()
    await page.getByLabel('Administration token').waitFor()
    await page.context().close()
  }
})

// What is there to be seen

/** Three organizations, people, data, a month of samples, and a client that takes the plain port for one with TLS. */
async function fill(): Promise<void> {
  const { alice } = await client.org({ alice: { email: 'alice@acme.example', label: 'Alice Archer' } })
  const laptop = await client.connect(alice)
  await client.connect(await client.device(laptop, alice))
  for (const [user_id, label] of [
    ['bob', 'Bob Baker'],
    ['carol', 'Carol Carter'],
    ['dave', 'Dave Dyer'],
  ] as const)
    await client.user(laptop, alice, user_id, { email: `${user_id}@acme.example`, label })
  for (const size of [1_000, 200_000, 900_000]) {
    const realm_id = await client.realm(laptop, alice)
    await client.vlob(laptop, realm_id, { blob: Buffer.alloc(size) })
    await laptop.ok('block_create', { block_id: new Uuid(), realm_id, block: Buffer.alloc(Math.floor(size / 3)) })
  }
  await client.org({ alice: { email: 'boris@borealis.example', label: 'Boris' } })
  await client.createOrganization('Waiting', {})
  await new Promise(resolve => connect(Number(port), '127.0.0.1').on('error', resolve))
  for (let day = 30; day > 0; day--) {
    const grown = 31 - day
    await cluster.database!.query(
      `INSERT INTO figures_sample (hour, organizations, users, active_users, realms, data_size, metadata_size)
       VALUES (date_trunc('hour', $1::timestamptz), $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
      [
        new Date(Date.now() - day * DAY_MS).toISOString(),
        ...[
          1 + Math.floor(grown / 12),
          1 + Math.floor(grown / 7),
          1 + Math.floor(grown / 7),
          1 + Math.floor(grown / 11),
        ],
        ...[12_000 * grown, 36_000 * grown],
      ],
    )
  }
}

// What is done on a page

async function open(
  browser: Browser,
  options: Parameters<Browser['newContext']>[0],
  expected: readonly RegExp[] = [],
): Promise<Page> {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  page.setDefaultTimeout(30_000)
  const fail = (text: string) => {
    // The browser tells of every status from 400 on; those that a test causes are shown on the page.
    if (![/status of 40[039] /, ...expected].some(pattern => pattern.test(text))) faults.push(text)
  }
  page.on('console', message => {
    if (['error', 'warning'].includes(message.type())) fail(message.text())
  })
  page.on('pageerror', error => fail(String(error.stack)))
  return page
}
const faults: string[] = []

async function signIn(page: Page, token: string): Promise<void> {
  await page.getByLabel('Administration token').fill(token)
  await page.keyboard.press('Enter')
  await page.getByRole('button', { name: 'Sign out' }).waitFor()
}

/** A wrong token, a right one, and the way to the content, without a mouse. */
async function keyboard(page: Page): Promise<void> {
  await page.keyboard.type('wrong')
  await page.keyboard.press('Enter')
  await page.getByRole('alert').getByText('The server does not know this token.').waitFor()
  await signIn(page, ADMINISTRATION_TOKEN)
  const heading = page.getByRole('heading', { name: 'Overview', level: 1 })
  await heading.and(page.locator(':focus')).waitFor()
  await page.getByRole('link', { name: 'Skip to the content' }).focus()
  await page.keyboard.press('Enter')
  await page.getByRole('main').and(page.locator(':focus')).waitFor()
}

async function visit(page: Page, name: string): Promise<void> {
  await page.getByRole('navigation').getByRole('link', { name }).click()
  await page.getByRole('heading', { name, level: 1 }).and(page.locator(':focus')).waitFor()
  assert.ok((await page.title()).startsWith(name))
}

async function answer(page: Page, title: string | RegExp, button: string): Promise<void> {
  const dialog: Locator = page.getByRole('dialog', { name: title })
  await dialog.getByRole('button', { name: button, exact: true }).click()
  await dialog.waitFor({ state: 'detached' })
}

/** All of it is there, nothing is wider than the window, and each has a picture. */
async function everyPage(page: Page, kind: string): Promise<void> {
  for (const name of PAGES) {
    await visit(page, name)
    await settled(page)
    await examine(page, name === 'Overview' || name === 'Organizations' ? `${name.toLowerCase()}-${kind}` : undefined)
  }
  await visit(page, 'Organizations')
  await page.getByRole('link', { name: 'Acme' }).click()
  await page.getByRole('heading', { name: 'Deletion' }).waitFor()
  await settled(page)
  await examine(page, `organization-${kind}`)
  await page.getByRole('button', { name: 'Close now' }).click()
  await page.getByRole('dialog').waitFor()
  await examine(page)
  await page.getByRole('button', { name: 'Cancel' }).click()
}
const settled = (page: Page) => page.getByText('Loading …').first().waitFor({ state: 'detached' })

/** Axe finds nothing serious, the browser has complained about nothing. With a name a picture is kept. */
async function examine(page: Page, name?: string): Promise<void> {
  const { violations } = (await page.evaluate(`(() => { const module = undefined, define = undefined; ${axe}
    return axe.run() })()`)) as {
    violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[]
  }
  const serious = violations.filter(({ impact }) => ['serious', 'critical'].includes(impact))
  assert.deepEqual(
    serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => html + failureSummary)}`),
    [],
    page.url(),
  )
  assert.deepEqual(faults.splice(0), [], page.url())
  const excess = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')
  assert.equal(excess, 0, `${page.url()} is wider than the window`)
  if (name === undefined) return
  for (const button of await page.getByRole('button', { name: 'Dismiss' }).all())
    await button.click({ timeout: 1_000 }).catch(() => {})
  await page.evaluate('scrollTo(0, 0)')
  const path = join(IMAGES, `console-${name}.png`)
  await page.screenshot({ path, animations: 'disabled' })
  const { size } = await stat(path)
  assert.ok(size < MAX_IMAGE, `${path} has ${size} bytes`)
}

/** The pages of the API, which are another's and have faults of their own, are shown at least. */
async function swagger(page: Page, url: string): Promise<void> {
  await page.goto(`${url}/administration/docs`)
  await page.getByRole('heading', { name: 'Parsec administration' }).waitFor()
  await page.getByText('Create an organization').first().waitFor()
  assert.deepEqual(faults.splice(0), [])
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000
  while (!(await holds())) {
    assert.ok(performance.now() < deadline, 'never happened')
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}
