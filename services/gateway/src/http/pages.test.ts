import assert from 'node:assert/strict'
import { test } from 'node:test'
import { redirection } from './pages.ts'

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
  assert.equal(redirection(secure, '你', '%E4%B8%8A=%E8%A1%8C'), 'parsec://h/%E4%BD%A0?%E4%B8%8A=%E8%A1%8C')
})
test('a parameter may be repeated as often as an address is long', () => {
  const query = Array.from({ length: 100_000 }, (_, i) => `a=${i % 10}`).join('&')
  assert.equal(redirection(secure, 'spam', query), `parsec://h/spam?${query}`)
})
