/** Proxies as curl understands the environment. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { proxyVariables, useProxies } from './proxy.ts'

test('small letters count first, capitals too; one proxy for all stands for the others', () => {
  assert.deepEqual(proxyVariables({}), {})
  assert.deepEqual(proxyVariables({ HTTP_PROXY: 'http://a:1', http_proxy: 'http://b:2', https_proxy: '' }), {
    http_proxy: 'http://b:2',
  })
  assert.deepEqual(proxyVariables({ HTTPS_PROXY: 'https://u:p@a:1', all_proxy: 'b:2' }), {
    http_proxy: 'http://b:2',
    https_proxy: 'https://u:p@a:1',
  })
})

test('a proxy that cannot be used is refused, without the password', () => {
  for (const https_proxy of ['socks5://u:p4ssw0rd@a:1', 'http://', 'http://u:p4ssw0rd@a:port'])
    assert.throws(
      () => proxyVariables({ https_proxy }),
      ({ message }: Error) => /https_proxy/.test(message) && !/p4ssw0rd/.test(message),
    )
})

test('exceptions: names with what is below them, addresses, networks, everything', () => {
  for (const [given, no_proxy] of [
    ['example.com', 'example.com,.example.com'],
    ['.example.com *.b.c', 'example.com,.example.com,b.c,.b.c'],
    ['127.0.0.1, ::1', '127.0.0.1,::1'],
    ['10.0.0.0/8,192.168.7.9/24', '10.0.0.0-10.255.255.255,192.168.7.0-192.168.7.255'],
    ['1.2.3.4/32', '1.2.3.4-1.2.3.4'],
    ['*', '*'],
  ] as const)
    assert.equal(proxyVariables({ no_proxy: given }).no_proxy, no_proxy)
})

test('what the server asks of others goes through the proxy, but to the exceptions', async () => {
  const asked: string[] = []
  const proxy = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    response.end('by proxy')
  })
  await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
  const { port } = proxy.address() as AddressInfo
  try {
    useProxies(proxyVariables({ http_proxy: `127.0.0.1:${port}`, no_proxy: 'near.invalid,127.0.0.1' }))
    const post = (url: string) => fetch(url, { method: 'POST', body: 'x' }).then(r => r.text())
    assert.equal(await post('http://webhook.invalid/x?y=1'), 'by proxy')
    assert.equal(await post(`http://127.0.0.1:${port}/direct`), 'by proxy')
    await assert.rejects(post('http://below.near.invalid/'))
    assert.deepEqual(asked, ['POST http://webhook.invalid/x?y=1', 'POST /direct'])
  } finally {
    proxy.closeAllConnections()
    proxy.close()
  }
})
