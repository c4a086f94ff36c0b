/** Claimers of a gateway that dies, and waits that a gateway ends when it stops. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import { type Connection, clientOf, pack, type Uuid, unpack } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'

const cluster = await Cluster.start({ topology: 'cluster' })
const client = clientOf(cluster)
after(async () => {
  await client.end()
  await cluster.stop()
})

const invite = async (greeter: Connection): Promise<Uuid> =>
  (await greeter.ok('invite_new', { type: 'DEVICE', send_email: false })).token
/** The next status of an invitation that is told. */
async function nextStatus(listener: Connection, token: Uuid): Promise<string> {
  for (;;) {
    const event = await listener.event(30_000)
    if (event.event === 'invite.status_changed' && event.token.equals(token)) return event.invitation_status
  }
}

test('the claimer of a gateway that was killed counts as gone once its lease has lapsed (04-invite §5.3)', async () => {
  const { id, alice } = await client.org()
  const [greeter, listener] = [await client.connect(alice), await client.connect(alice)]
  await listener.ok('events_subscribe')
  const token = await invite(greeter)
  const doomed = cluster.process('gateway-3')
  const claimer = await clientOf(cluster, doomed.url).open({
    invited: { organization_id: id, invitation_type: 'DEVICE', token },
  })
  assert.deepEqual([await nextStatus(listener, token), await nextStatus(listener, token)], ['IDLE', 'READY'])
  const gone = claimer.untilClosed()
  await doomed.end('SIGKILL')
  await gone
  const listed = async () => (await greeter.ok('invite_list')).invitations.map((i: { status: string }) => i.status)
  assert.deepEqual(await listed(), ['READY'])
  await cluster.database!.query(`UPDATE invitation_claimer SET expires_on = expires_on - interval '1 minute'`)
  assert.deepEqual(await listed(), ['IDLE'])
  assert.equal(await nextStatus(listener, token), 'IDLE')
  await doomed.start()
})

test('… also where the clock of the database was ahead when it was renewed last', async () => {
  const { id, alice } = await client.org()
  const [greeter, listener] = [await client.connect(alice), await client.connect(alice)]
  await listener.ok('events_subscribe')
  const token = await invite(greeter)
  const doomed = cluster.process('gateway-3')
  await clientOf(cluster, doomed.url).open({ invited: { organization_id: id, invitation_type: 'DEVICE', token } })
  assert.deepEqual([await nextStatus(listener, token), await nextStatus(listener, token)], ['IDLE', 'READY'])
  await doomed.end('SIGKILL')
  await cluster.database!.query(`UPDATE invitation_claimer SET expires_on = expires_on + interval '1 hour'`)
  assert.deepEqual(
    (await greeter.ok('invite_list')).invitations.map((i: { status: string }) => i.status),
    ['IDLE'],
  )
  assert.equal(await nextStatus(listener, token), 'IDLE')
  await doomed.start()
})

test('a claimer who waits over HTTP does not hold up a gateway that stops (04-invite §3.3)', async () => {
  const { id, alice } = await client.org()
  const greeter = await client.connect(alice)
  const token = await invite(greeter)
  const stopping = cluster.process('gateway-3')
  const claim = (cmd: string, fields: object = {}) =>
    fetch(`${stopping.url.replace('ws', 'http')}/invited/${id}`, {
      method: 'POST',
      headers: { 'content-type': 'application/msgpack', 'invitation-token': `${token}` },
      body: pack({ cmd, ...fields }),
    })
  const waiting = claim('invite_1_claimer_wait_peer', { claimer_public_key: randomBytes(32) })
  await untilTalked()
  const [reply] = await Promise.all([waiting, stopping.restart('SIGTERM')])
  assert.equal(reply.status, 503)
  // What the claimer had said is still there, but is never handed out: the greeter waits for a living one.
  const answer = greeter.cmd('invite_1_greeter_wait_peer', { token, greeter_public_key: randomBytes(32) })
  await untilTalked('greeter')
  const again = claim('invite_1_claimer_wait_peer', { claimer_public_key: randomBytes(32) })
  assert.deepEqual(await answer, { status: 'invalid_state' })
  const key = randomBytes(32)
  assert.equal((await greeter.cmd('invite_1_greeter_wait_peer', { token, greeter_public_key: key })).status, 'ok')
  const told = unpack(Buffer.from(await (await again).arrayBuffer()))
  assert.deepEqual([told.status, key.equals(told.greeter_public_key)], ['ok', true])

  async function untilTalked(side = 'claimer'): Promise<void> {
    const slot = `SELECT FROM conduit JOIN invitation ON invitation._id = conduit.invitation WHERE token = $1 AND ${side}_payload IS NOT NULL`
    while ((await cluster.database!.query(slot, [`${token}`])).length === 0);
  }
})
