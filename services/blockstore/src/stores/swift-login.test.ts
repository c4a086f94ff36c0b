/** What the login of Swift says on the wire (spec 06 §7.4). */
import assert from 'node:assert/strict'
import { Agent, createServer } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { login } from './swift-login.ts'

test('user, tenant and password go in UTF-8, in whatever alphabet they are (06-server §7.4)', async () => {
  const seen: string[] = []
  const server = createServer(({ headers }, response) => {
    for (const name of ['x-auth-user', 'x-auth-key'])
      seen.push(Buffer.from(String(headers[name]), 'latin1').toString('utf8'))
    response.writeHead(200, { 'x-storage-url': 'http://store/v1', 'x-auth-token': 'token' }).end()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const agents = { http: new Agent(), https: new HttpsAgent() }
  try {
    const authUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/auth/v1.0`
    const account = { authUrl, tenant: 'équipe', user: '飞', password: 'pässword 飞' }
    await login(account, agents, AbortSignal.timeout(10_000))
    assert.deepEqual(seen, ['飞:équipe', 'pässword 飞'])
  } finally {
    agents.http.destroy()
    server.close()
  }
})
