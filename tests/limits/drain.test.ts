/** A server that stops does not wait for clients that sleep, and takes nobody in. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { clientOf } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'

/** Far longer than the test may take. */
const cluster = await Cluster.start({ topology: 'single', flags: ['--drain-seconds=600'] })
const server = cluster.process('server')
const client = clientOf(cluster)
after(() => cluster.stop())

const canConnect = async () => {
  const socket = connect(server.port, '127.0.0.1')
  const [outcome] = await Promise.race([once(socket, 'connect').then(() => [true]), once(socket, 'error')])
  socket.destroy()
  return outcome === true
}

test('sleeping clients do not use up the time of a drain, and the port is closed meanwhile', async () => {
  const { alice } = await client.org()
  const [asleep, awake] = [await client.connect(alice), await client.connect(alice)]
  // As a pooled connection of a client, which is read during a command only.
  asleep.ws.pause()
  server.signal('SIGTERM')
  assert.equal(await awake.untilClosed(20_000), 1012)
  assert.ok(!(await canConnect().catch(() => false)))
  for (let i = 0; i < 200 && server.isRunning; i++) await pause(100)
  assert.ok(!server.isRunning, server.output)
  assert.doesNotMatch(server.output, /Connection refused/)
  assert.doesNotMatch(server.output, /did not end in order/)
})
