/** Enrollments beyond single commands: time that passes, many submitters, an author who is revoked in between. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import { deflateSync } from 'node:zlib'
import { type Connection, clientOf, Device, pack, Uuid } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'

const cluster = await Cluster.start({ topology: 'cluster' })
const client = clientOf(cluster)
after(async () => {
  await client.end()
  await cluster.stop()
})
const query = (text: string, values: unknown[]) => cluster.database!.query(text, values)

test('a claim an hour after the invitation is told to whoever waits, and refused (03-users §6.5, #50)', async () => {
  const { id, alice } = await client.org()
  const claimer = await client.open({ anonymous: { organization_id: id } })
  const inviter = await client.connect(alice, { api: [1, 2] })
  const inviting = inviter.cmd('user_invite', { user_id: 'zack' })
  await untilInvited(claimer, 'zack')
  await query(`UPDATE legacy_invitation SET created_on = created_on - interval '1 hour' WHERE invited = $1`, ['zack'])
  const encrypted_claim = randomBytes(32)
  assert.equal((await creatorOf(claimer, 'zack')).status, 'not_found')
  assert.equal((await claimer.cmd('user_claim', { invited_user_id: 'zack', encrypted_claim })).status, 'not_found')
  const invited = await inviting
  assert.equal(invited.status, 'ok')
  assert.ok(encrypted_claim.equals(invited.encrypted_claim))
})

test('inviting again starts the hour anew (03-users §6.1)', async () => {
  const { id, alice } = await client.org()
  const claimer = await client.open({ anonymous: { organization_id: id } })
  const inviter = await client.connect(alice, { api: [1, 2] })
  const invite = async () => {
    inviter.cmd('user_invite', { user_id: 'yann' }).catch(() => {})
    await untilInvited(claimer, 'yann')
  }
  await invite()
  await query(`UPDATE legacy_invitation SET created_on = created_on - interval '1 hour' WHERE invited = $1`, ['yann'])
  assert.equal((await creatorOf(claimer, 'yann')).status, 'not_found')
  await invite()
})

test('enrollments that do not fit into one reply are listed once older ones are decided (03-users §7.5)', async () => {
  const { id, alice } = await client.org()
  const admin = await client.connect(alice)
  const key = randomBytes(32)
  const payload = {
    type: 'pki_enrollment_submit_payload',
    verify_key: key,
    public_key: key,
    requested_device_label: 'x',
  }
  const certificateBytes = 900 * 1024
  const submitted = Array.from({ length: 20 }, () => new Uuid())
  for (const enrollment_id of submitted) {
    const reply = await client.anonymous(id, 'pki_enrollment_submit', {
      enrollment_id,
      force: false,
      submitter_der_x509_certificate: randomBytes(certificateBytes),
      submit_payload_signature: randomBytes(64),
      submit_payload: deflateSync(pack(payload)),
    })
    assert.equal(reply.status, 'ok')
  }
  const seen: string[] = []
  while (seen.length < submitted.length) {
    const { enrollments } = await admin.ok('pki_enrollment_list')
    assert.notEqual(enrollments.length, 0)
    assert.ok(enrollments.length * certificateBytes < 16 * 1024 * 1024)
    for (const { enrollment_id } of enrollments) {
      seen.push(`${enrollment_id}`)
      await admin.ok('pki_enrollment_reject', { enrollment_id })
    }
  }
  assert.deepEqual(seen, submitted.map(String))
})

test('whoever has been revoked creates nobody, and the service goes on (03-users §1.7)', async () => {
  const { alice } = await client.org()
  const admin = await client.connect(alice)
  const carl = await client.user(admin, alice, 'carl', { profile: 'ADMIN' })
  const zoe = new Device(carl.org, carl.rvk, 'zoe')
  const commands = { user_create: zoe.certificates(carl.device_id, carl.key), shamir_recovery_setup: { setup: null } }
  for (const [cmd, fields] of Object.entries(commands)) {
    const session = await client.connect(carl)
    // As when the revocation is committed by another replica whose event is still on its way.
    await query('UPDATE user_ SET revoked_on = now() WHERE user_id = $1', ['carl'])
    await assert.rejects(session.cmd(cmd, fields), /connection closed/)
    await query('UPDATE user_ SET revoked_on = NULL WHERE user_id = $1', ['carl'])
  }
  assert.equal((await admin.cmd('user_get', { user_id: 'zoe' })).status, 'not_found')
  for (const process of cluster.processes.values()) assert.ok(process.isRunning, process.name)
})

const creatorOf = (claimer: Connection, invited_user_id: string) =>
  claimer.cmd('user_get_invitation_creator', { invited_user_id })

/** `user_invite` answers only when somebody claims; that it is stored shows on another connection. */
async function untilInvited(claimer: Connection, user_id: string): Promise<void> {
  for (let asked = 0; asked < 1000; asked++) if ((await creatorOf(claimer, user_id)).status === 'ok') return
  assert.fail('the invitation is not stored')
}
