/** Behind a real nginx, with the configuration that docs/operations.md gives. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { get, type RequestOptions } from 'node:https'
import { join } from 'node:path'
import { test } from 'node:test'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { backing, isListening } from '../harness/backing.ts'
import { Child } from '../harness/child.ts'
import { Connection } from '../harness/client.ts'
import { freePort } from '../harness/ports.ts'
import { assertWorks, makeCertificate, Shell, until } from './installation.ts'

/** An address of the loopback interface that is not the proxy's. */
const CLIENT_ADDRESS = '127.0.0.77'

test('TLS ends at nginx: pages, WebSocket, redirection, and the clients’ own addresses in the log', async () => {
  await backing('nginx')
  const shell = await Shell.open()
  const [port, secure, plain] = [await freePort(), await freePort(), await freePort()]
  try {
    const certificate = await makeCertificate(shell.folder, 'proxy')
    setDefaultCACertificates([...getCACertificates('default'), certificate.pem])
    const nginx = new Child('nginx', 'nginx', await configure(shell.folder, { port, secure, plain }), {
      PATH: `${process.env.PATH}:/usr/sbin`,
    })
    await nginx.until(() => isListening(secure))
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

/** Writes the configuration; returns the arguments of nginx. */
async function configure(
  folder: string,
  { port, secure, plain }: { port: number; secure: number; plain: number },
): Promise<string[]> {
  const page = await readFile(new URL('../../docs/operations.md', import.meta.url), 'utf8')
  const block = /```nginx\n([\s\S]*?)```/.exec(page)![1]!
  const site = block
    .replace('listen 443 ssl', `listen 127.0.0.1:${secure} ssl`)
    .replace('listen 80', `listen 127.0.0.1:${plain}`)
    .replace('/etc/ssl/parsec/fullchain.pem', join(folder, 'proxy.pem'))
    .replace('/etc/ssl/parsec/privkey.pem', join(folder, 'proxy.key'))
    .replace('127.0.0.1:6777', `127.0.0.1:${port}`)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const config = `
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 256; }
http {
  access_log off;
${temporary.map(name => `  ${name}_temp_path ${folder}/nginx-${name};`).join('\n')}
${site}
}
`
  const file = join(folder, 'nginx.conf')
  await writeFile(file, config)
  return ['-p', folder, '-c', file, '-e', join(folder, 'error.log')]
}

function statusOf(url: string, options: RequestOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    get(url, options, response => {
      response.resume()
      resolve(response.statusCode!)
    }).on('error', reject)
  })
}
