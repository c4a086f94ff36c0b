/** SIGTERM ends the program in its time, whoever it waits for. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import { clientOf } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'

test('a webhook and a mail server that never answer do not hold up the end', async () => {
  let silent = false
  const asked = Promise.withResolvers<void>()
  const webhook = createHttpServer((_request, response) => {
    if (silent) asked.resolve()
    else response.end()
  }).listen(0, '127.0.0.1')
  const dialled = Promise.withResolvers<void>()
  const mail = createServer(socket => {
    socket.on('error', () => {})
    dialled.resolve()
  }).listen(0, '127.0.0.1')
  await Promise.all([once(webhook, 'listening'), once(mail, 'listening')])
  const port = (server: { address(): unknown }) => (server.address() as AddressInfo).port
  const cluster = await Cluster.start({
    topology: 'single',
    flags: [
      '--drain-seconds=3',
      `--organization-bootstrap-webhook=http://127.0.0.1:${port(webhook)}/`,
      '--email-host=127.0.0.1',
      `--email-port=${port(mail)}`,
      '--email-sender=parsec@example.com',
    ],
  })
  const client = clientOf(cluster)
  try {
    const { alice } = await client.org()
    silent = true
    const bootstrap = client.org().catch(error => error)
    const connection = await client.connect(alice)
    const invitation = connection
      .cmd('invite_new', { type: 'USER', claimer_email: 'zack@example.com', send_email: true })
      .catch(error => error)
    await Promise.all([asked.promise, dialled.promise])
    const server = cluster.process('server')
    await server.end('SIGTERM')
    // Otherwise it had to be killed.
    assert.equal(server.exitCode, 0, server.output)
    assert.match(server.output, /bye ;-\)/)
    await Promise.all([bootstrap, invitation])
  } finally {
    await client.end()
    await cluster.stop()
    webhook.closeAllConnections()
    webhook.close()
    mail.close()
  }
})
