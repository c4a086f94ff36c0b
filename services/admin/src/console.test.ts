import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { type RequestOptions, request } from 'node:http'
import { after, test } from 'node:test'
import { fastify } from 'fastify'
import { consoleRoutes, openConsole } from './console.ts'

const files = await openConsole()
const app = fastify()
await app.register(async app => consoleRoutes(app, files), { prefix: '/administration' })
await app.listen({ host: '127.0.0.1', port: 0 })
after(() => app.close())
const { port } = app.server.address() as { port: number }

const TYPES: { readonly [extension: string]: string } = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
}
type Answer = { status: number; headers: { [name: string]: unknown }; text: string }
/** As it is written: `fetch` would take the dots out of a path. */
const get = (path: string, options: RequestOptions = {}): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, path, ...options }, async response => {
      const parts = await response.toArray()
      resolve({ status: response.statusCode!, headers: response.headers, text: Buffer.concat(parts).toString() })
    })
    asked.on('error', reject).end()
  })

test('every file is served with its type, a policy that allows nothing but such files, and kept until it changes', async () => {
  const own = await readdir(new URL('../console/', import.meta.url))
  assert.ok(own.includes('index.html') && own.length > 10, `${own}`)
  const served = files.map(({ path }) => path)
  for (const name of own) assert.ok(served.includes(name === 'index.html' ? '/' : `/console/${name}`), name)
  for (const path of served) {
    const extension = path === '/' ? 'html' : path.split('.').at(-1)!
    const { status, headers, text } = await get(`/administration${path}`)
    assert.deepEqual([status, headers['content-type']], [200, TYPES[extension]], path)
    assert.ok(text.length > 0, path)
    assert.deepEqual([headers['cache-control'], headers['x-content-type-options']], ['no-cache', 'nosniff'], path)
    const policy = String(headers['content-security-policy']).split('; ')
    for (const rule of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"])
      assert.ok(policy.includes(rule), `${path} ${rule}`)
    assert.ok(!policy.some(rule => /unsafe|upgrade|https?:|\*/.test(rule)), `${policy}`)
    const { etag } = headers as { etag: string }
    const again = await get(`/administration${path}`, { headers: { 'if-none-match': etag } })
    assert.deepEqual([again.status, again.text, again.headers.etag], [304, '', etag], path)
    const old = await get(`/administration${path}`, { headers: { 'if-none-match': '"another"' } })
    assert.equal(old.text, text, path)
    assert.equal((await get(`/administration${path}`, { method: 'HEAD' })).status, 200, path)
  }
})

test('what a file imports or shows is one of them, by a relative address; nothing comes from elsewhere', async () => {
  const page = 'http://server/administration/'
  const known = new Set(files.map(({ path }) => new URL(`.${path}`, page).href))
  for (const { path, type, content } of files) {
    const text = content.toString()
    const isVendor = path.includes('/vendor/')
    const links =
      type === TYPES.html
        ? /(?:src|href)="([^"]+)"/g
        : type === TYPES.css
          ? /url\(["']?([^"')]+)|@import ["']([^"']+)/g
          : /\b(?:from|import) ?\(?["']([\w@./-]+)["']/g
    for (const [, one, other] of text.matchAll(links)) {
      const target = (one ?? other)!
      assert.match(target, /^(?:\.\.?\/|console\/)/, `${path} → ${target}`)
      assert.ok(known.has(new URL(target, new URL(`.${path}`, page)).href), `${path} → ${target}`)
    }
    assert.ok(!/sourceMappingURL/.test(text), path)
    // Names of XML vocabularies are no addresses.
    const foreign = text.replaceAll(/http:\/\/www\.w3\.org\/[\w/]+/g, '').match(/\b(?:https?:)?\/\/[\w-]+\.[\w./-]+/g)
    if (!isVendor) assert.equal(foreign, null, path)
    assert.ok(!/\beval\(|new Function\(|innerHTML|dangerouslySetInnerHTML/.test(isVendor ? '' : text), path)
  }
})

test('no other path leads to a file, and none out of the folder', async () => {
  for (const path of [
    '/administration',
    '/administration/console',
    '/administration/console/',
    '/administration/index.html',
    '/administration/console/index.html',
    '/administration/console/no-such.js',
    '/administration/console/app.js/',
    '/administration/console/../src/console.ts',
    '/administration/console/..%2fsrc%2fconsole.ts',
    '/administration/console/%2e%2e/package.json',
    '/administration/console/vendor/../app.js',
    '/administration/console/vendor/%2e%2e%2f%2e%2e%2fpackage.json',
    '/administration/console//app.js',
    '/administration/console/app.js%00',
    '/administration/console/vendor/preact.mjs.map',
  ])
    assert.equal((await get(path)).status, 404, path)
})
