/** Behind a real nginx, with the configuration of deploy/proxy. */
import assert from 'node:assert/strict'
import { get, type RequestOptions } from 'node:https'
import { test } from 'node:test'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { Connection } from '../harness/client.ts'
import { freePort } from '../harness/ports.ts'
import { assertWorks, makeCertificate, Shell, until } from './installation.ts'
import { startNginx } from './nginx.ts'

/** An address of the loopback interface that is not the proxy's. */
const CLIENT_ADDRESS = '127.0.0.77'

test('TLS ends at nginx: pages, WebSocket, redirection, and the clients’ own addresses in the log', async () => {
  const shell = await Shell.open()
  const [port, secure, plain] = [await freePort(), await freePort(), await freePort()]
  try {
    const certificate = await makeCertificate(shell.folder, 'proxy')
    setDefaultCACertificates([...getCACertificates('default'), certificate.pem])
    const nginx = await startNginx(shell.folder, { port, secure, plain })
    const server = await shell.serve(port, [
      ...['backend', 'run', '--dev', '--port', `${port}`, '--log-level', 'INFO', '--trusted-proxies', '127.0.0.1'],
      ...['--forward-proto-enforce-https', 'X-Forwarded-Proto:https', '--backend-addr', `parsec://localhost:${secure}`],
    ])

    await assertWorks(`wss://localhost:${secure}`, 's3cr3t')
    const redirected = await fetch(`http://127.0.0.1:${plain}/some/page?x=1`, { redirect: 'manual' })
    assert.equal(redirected.status, 301)
    assert.match(redirected.headers.get('location')!, /^https:\/\/127\.0\.0\.1(?::\d+)?\/some\/page\?x=1$/)

    // What a client says about itself is not believed.
    const from = { localAddress: CLIENT_ADDRESS, headers: { 'x-forwarded-for': '198.51.100.1' } }
    assert.equal(await statusOf(`https://127.0.0.1:${secure}/`, from), 200)
    const socket = await Connection.socket(`wss://127.0.0.1:${secure}`, from as object)
    await socket.close()
    const refused = { ...from, headers: { ...from.headers, authorization: 'Bearer wrong' } }
    assert.equal(await statusOf(`https://127.0.0.1:${secure}/administration/stats?format=json`, refused), 403)
    for (const line of [
      `] ${CLIENT_ADDRESS}:0 GET / 1.1 200 `,
      `] ${CLIENT_ADDRESS}:0 GET /ws ws 101 `,
      `] ${CLIENT_ADDRESS}:0 GET /administration/stats 1.1 403 `,
      `address=${CLIENT_ADDRESS} outcome=not_allowed`,
    ])
      await until(`${line} in the log:\n${server.output}`, () => server.output.includes(line))
    assert.ok(!server.output.includes('198.51.100.1'), server.output)
    await server.end('SIGTERM')
    assert.equal(server.exitCode, 0)
    await nginx.end('SIGQUIT')
  } finally {
    await shell.close()
  }
})

function statusOf(url: string, options: RequestOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    get(url, options, response => {
      response.resume()
      resolve(response.statusCode!)
    }).on('error', reject)
  })
}
