import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LocalBus } from '@parsec/shared/bus/local'
import { AdministrationGuard } from '@parsec/shared/http/administration-guard'
import { readTokens } from '@parsec/shared/http/administration-tokens'
import { createHttp } from '@parsec/shared/http/server'
import { createLog } from '@parsec/shared/log'
import { startAdmin } from './main.ts'
import { openApiDocument } from './openapi.ts'

test('the document has exactly the routes that exist, and is shown without a token', async () => {
  const log = createLog({ level: 'CRITICAL', format: 'JSON', file: null })
  const http = await createHttp(
    {
      host: '127.0.0.1',
      port: 0,
      debug: false,
      tls: null,
      forwardProtoEnforceHttps: null,
      trustedProxies: [],
      maxConnections: 100,
    },
    log,
  )
  const routes = new Set<string>()
  http.app.addHook('onRoute', ({ url, method }) => {
    for (const one of [method].flat()) if (/^(GET|POST|PATCH|PUT|DELETE)$/.test(one)) routes.add(`${one} ${url}`)
  })
  const bus = new LocalBus()
  await startAdmin({ bus, log, guard: new AdministrationGuard(readTokens('SECRET'), log), http })
  const described = Object.entries(openApiDocument('1').paths).flatMap(([path, methods]) =>
    Object.keys(methods).map(method => `${method.toUpperCase()} /administration${path.replace(/\{(\w+)\}/g, ':$1')}`),
  )
  const existing = [...routes].filter(route => !/\/(?:docs|console|$)/.test(route))
  assert.deepEqual(described.sort(), existing.sort())

  const { port } = await http.listen()
  try {
    const url = `http://127.0.0.1:${port}/administration/docs`
    const page = await fetch(url)
    assert.equal(page.status, 200)
    assert.match(page.headers.get('content-type')!, /^text\/html/)
    const text = await page.text()
    assert.match(text, /swagger-ui/)
    for (const [, file = ''] of text.matchAll(/(?:src|href)="([^"]+)"/g))
      assert.equal((await fetch(new URL(file, url))).status, 200, file)
    const document = (await (await fetch(`${url}/json`)).json()) as { info: { title: string } }
    assert.equal(document.info.title, 'Parsec administration')
    assert.equal((await fetch(`${url}/no-such-page`)).status, 404)
    assert.equal((await fetch(url, { method: 'POST' })).status, 405)
    assert.equal((await fetch(`http://127.0.0.1:${port}/administration/stats?format=json`)).status, 403)
  } finally {
    await http.close()
    await bus.drain()
    await log.close()
  }
})
