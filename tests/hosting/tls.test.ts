/** A server with TLS of its own: versions, renewal of certificate and log file by SIGHUP, the report of one that fails. */
import assert from 'node:assert/strict'
import { copyFile, readFile, rename, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect, getCACertificates, type SecureVersion, setDefaultCACertificates } from 'node:tls'
import { gunzipSync } from 'node:zlib'
import { Connection } from '../harness/client.ts'
import { freePort } from '../harness/ports.ts'
import { assertWorks, makeCertificate, Shell, until } from './installation.ts'

test('SIGHUP renews certificate and log file; open connections stay; a broken renewal changes nothing and is reported', async () => {
  const shell = await Shell.open()
  const sentry = await startSentry()
  try {
    const [first, second] = [
      await makeCertificate(shell.folder, 'first'),
      await makeCertificate(shell.folder, 'second'),
    ]
    setDefaultCACertificates([...getCACertificates('default'), first.pem, second.pem])
    const [key, cert, log] = ['server.key', 'server.pem', 'server.log'].map(name => join(shell.folder, name))
    await install(first, key!, cert!)
    const port = await freePort()
    const server = await shell.serve(port, [
      ...['backend', 'run', '--dev', `--port=${port}`, `--ssl-keyfile=${key}`, `--ssl-certfile=${cert}`],
      ...[`--log-file=${log}`, '--log-level=INFO', '--administration-token=TOKEN-THAT-NOBODY-MAY-SEE'],
      ...[`--sentry-dsn=http://public@127.0.0.1:${sentry.port}/7`],
    ])
    const told = (text: string) =>
      until(text, async () => (await readFile(log!, 'utf8').catch(() => '')).includes(text))
    assert.deepEqual(await peer(port), { name: 'first', protocol: 'TLSv1.3' })
    assert.deepEqual(await peer(port, 'TLSv1.2'), { name: 'first', protocol: 'TLSv1.2' })
    await assert.rejects(peer(port, 'TLSv1.1'))
    await assertWorks(`wss://localhost:${port}`, 'TOKEN-THAT-NOBODY-MAY-SEE')
    const open = await Connection.socket(`wss://localhost:${port}`)

    await install(second, key!, cert!)
    await rename(log!, `${log}.1`)
    server.process.kill('SIGHUP')
    await told('TLS files reloaded')
    assert.deepEqual(await peer(port), { name: 'second', protocol: 'TLSv1.3' })
    assert.deepEqual(await peer(port, 'TLSv1.2'), { name: 'second', protocol: 'TLSv1.2' })
    await assert.rejects(peer(port, 'TLSv1.1'))
    assert.match(await readFile(`${log}.1`, 'utf8'), /Running on https:/)
    assert.equal(open.closed, false)
    await open.close()

    await writeFile(cert!, 'no certificate')
    server.process.kill('SIGHUP')
    await told('TLS files not reloaded')
    assert.equal((await peer(port)).name, 'second')
    await assertWorks(`wss://localhost:${port}`, 'TOKEN-THAT-NOBODY-MAY-SEE')

    await until('a report to Sentry', () => sentry.received.length > 0)
    const report = sentry.received.join('\n')
    assert.match(report, /TLS files not reloaded/)
    assert.match(report, /"tags":\{"service":"metadata,blockstore,gateway,admin"\}/)
    assert.ok(!report.includes('TOKEN-THAT'), report)
    await server.end('SIGTERM')
    assert.equal(server.exitCode, 0, server.output)
    const everything = server.output + (await readFile(log!, 'utf8')) + (await readFile(`${log}.1`, 'utf8'))
    assert.ok(!everything.includes('TOKEN-THAT'), 'the token is in no output')
  } finally {
    await shell.close()
    await sentry.close()
  }
})

/** A program that is told to reload in the moment that it reads its code. */
const RELOADED_AT_ONCE = `--import=data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module'
  registerHooks({
    load(url, context, next) {
      if (url.endsWith('/cli/src/main.ts')) process.kill(process.pid, 'SIGHUP')
      return next(url, context)
    },
  })`)}`

test('SIGHUP does not end a server that has only begun to start', async () => {
  const shell = await Shell.open()
  const server = await shell.run(['backend', 'run', '--port=0'], { NODE_OPTIONS: RELOADED_AT_ONCE })
  await shell.close()
  // It came to where it finds out that it was told nothing else.
  assert.equal(server.exitCode, 2, server.output)
})

test('a webhook with a certificate of an authority of the system is told (06-server §3.3)', async () => {
  const shell = await Shell.open()
  const { key, cert } = await makeCertificate(shell.folder, 'hook')
  const told: string[] = []
  const hook = createTlsServer({ key: await readFile(key), cert: await readFile(cert) }, async (request, response) => {
    for await (const chunk of request) told.push(String(chunk))
    response.end()
  })
  try {
    await new Promise<void>(resolve => hook.listen(0, '127.0.0.1', resolve))
    const url = `https://localhost:${(hook.address() as AddressInfo).port}/`
    const port = await freePort()
    const argv = [
      'backend',
      'run',
      '--dev',
      '--drain-seconds=0',
      `--port=${port}`,
      `--organization-bootstrap-webhook=${url}`,
    ]
    const server = await shell.serve(port, argv, { SSL_CERT_FILE: cert })
    await assertWorks(`ws://127.0.0.1:${port}`, 's3cr3t')
    assert.match(told.join(), /"organization_id":"Org/, server.output)
  } finally {
    await shell.close()
    hook.closeAllConnections()
    hook.close()
  }
})

async function install(from: { key: string; cert: string }, key: string, cert: string): Promise<void> {
  await copyFile(from.key, key)
  await copyFile(from.cert, cert)
}

/** Whose certificate the server shows to a client that knows no newer version than `newest`. */
function peer(port: number, newest: SecureVersion = 'TLSv1.3'): Promise<{ name: string; protocol: string | null }> {
  return new Promise((resolve, reject) => {
    const socket = connect(
      { port, host: 'localhost', minVersion: 'TLSv1', maxVersion: newest, ciphers: 'DEFAULT:@SECLEVEL=0' },
      () => {
        resolve({ name: String(socket.getPeerCertificate().subject.CN), protocol: socket.getProtocol() })
        socket.destroy()
      },
    )
    socket.on('error', reject)
  })
}

/** The part of Sentry that takes reports. */
async function startSentry(): Promise<{ port: number; received: string[]; close(): Promise<void> }> {
  const received: string[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const bytes = Buffer.concat(chunks)
    received.push((request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes).toString())
    response.end('{}')
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    received,
    close: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
