import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fastify } from 'fastify'
import { redirection, registerPages } from './pages.ts'

const plain = { hostname: 'h', port: 9999, useTls: false }
const secure = { hostname: 'h', port: 443, useTls: true }

test('redirects lead to the configured address, whose no_ssl is the only one (02-organization-http §6.3)', () => {
  assert.equal(redirection(plain, 'foo/bar', 'a=1&b=2'), 'parsec://h:9999/foo/bar?a=1&b=2&no_ssl=true')
  assert.equal(redirection(plain, 'spam', 'no_ssl=false&a=1'), 'parsec://h:9999/spam?a=1&no_ssl=true')
  assert.equal(redirection(secure, 'spam', 'a=1&no_ssl=true'), 'parsec://h/spam?a=1')
  assert.equal(redirection(secure, 'spam', ''), 'parsec://h/spam')
  assert.equal(redirection({ hostname: '::1', port: 80, useTls: false }, 'a', ''), 'parsec://[::1]/a?no_ssl=true')
})
test('path and query are form-encoded anew, parameters grouped by name (02-organization-http §6.3)', () => {
  assert.equal(
    redirection(secure, "x~y-z._!*()'@:$,;=&%?#", ''),
    'parsec://h/x~y-z._%21%2A%28%29%27%40%3A%24%2C%3B%3D%26%25%3F%23',
  )
  assert.equal(redirection(secure, 'a b+c', 'x=a%20b+c&e=&f&x=2'), 'parsec://h/a+b%2Bc?x=a+b+c&x=2&e=&f=')
  assert.equal(redirection(secure, 'a', '?x=1&?no_ssl=1'), 'parsec://h/a?%3Fx=1&%3Fno_ssl=1')
  assert.equal(redirection(secure, '你', '%E4%B8%8A=%E8%A1%8C'), 'parsec://h/%E4%BD%A0?%E4%B8%8A=%E8%A1%8C')
})
test('a parameter may be repeated as often as an address is long', () => {
  const query = Array.from({ length: 100_000 }, (_, i) => `a=${i % 10}`).join('&')
  assert.equal(redirection(secure, 'spam', query), `parsec://h/spam?${query}`)
})
test('welcome page, style, icon and logo are what they say; the version is for debugging (02-organization-http §6.2, §6.4)', async () => {
  const [app, debug] = [fastify(), fastify()]
  await registerPages(app, { backendAddr: plain, debug: false })
  await registerPages(debug, { backendAddr: plain, debug: true })
  const get = (url: string) => app.inject(url)
  const page = await get('/')
  assert.equal(page.headers['content-type'], 'text/html; charset=utf-8')
  assert.match(page.body, /h:9999/)
  assert.doesNotMatch(page.body, /version|\d\.\d\.\d/)
  assert.match((await debug.inject('/')).body, /version \d+\.\d+\.\d+/)
  for (const [, path = ''] of page.body.matchAll(/(?:src|href)="(\/static\/[^"]+)"/g))
    assert.equal((await get(path)).statusCode, 200, path)
  const icon = await get('/static/favicon.ico')
  assert.deepEqual([...icon.rawPayload.subarray(0, 6)], [0, 0, 1, 0, 3, 0])
  assert.equal(icon.headers['content-type'], 'image/vnd.microsoft.icon')
  const logo = await get('/static/parsec-vert.png')
  assert.equal(logo.rawPayload.subarray(1, 4).toString(), 'PNG')
  assert.equal(logo.headers['content-type'], 'image/png')
  for (const path of [
    '/static',
    '/static/',
    '/static/no-such',
    '/static/../package.json',
    '/static/%2e%2e/package.json',
  ])
    assert.equal((await get(path)).statusCode, 404, path)
  await Promise.all([app.close(), debug.close()])
})
