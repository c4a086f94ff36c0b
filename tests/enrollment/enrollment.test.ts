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

/** A submission of a certificate of its own. */
const submission = (fields: { [field: string]: unknown } = {}) => {
  const key = randomBytes(32)
  const payload = {
    type: 'pki_enrollment_submit_payload',
    verify_key: key,
    public_key: key,
    requested_device_label: 'x',
  }
  return {
    enrollment_id: new Uuid(),
    force: false,
    submitter_der_x509_certificate: randomBytes(64),
    submit_payload_signature: randomBytes(64),
    submit_payload: deflateSync(pack(payload)),
    ...fields,
  }
}
/** As a flood of other addresses leaves them: `count` enrollments, each with a certificate of `bytes` bytes. */
const flood = (organization_id: string, count: number, bytes: number) =>
  query(
    `INSERT INTO pki_enrollment (organization, enrollment_id, submitter_der_x509_certificate, submit_payload_signature,
      submit_payload, submitted_on, enrollment_status)
    SELECT organization._id, gen_random_uuid(), convert_to(lpad(n::text, $3), 'UTF8'), '', '', now(), 'SUBMITTED'
    FROM organization, generate_series(1, $2) n WHERE organization_id = $1`,
    [organization_id, count, bytes],
  )

test('of enrollments that do not fit into one reply the newest are listed, and how many are not (03-users §7.5)', async () => {
  const { id, alice } = await client.org()
  const admin = await client.connect(alice)
  await flood(id, 300, 60_000)
  const real = submission()
  assert.equal((await client.anonymous(id, 'pki_enrollment_submit', real)).status, 'ok')
  for (let left = 301; left > 0; ) {
    const { enrollments, not_listed } = await admin.ok('pki_enrollment_list')
    assert.ok(enrollments.length > 0 && enrollments.length * 60_000 < 16 * 1024 * 1024)
    assert.equal(not_listed, left > enrollments.length ? left - enrollments.length : undefined)
    // The last that came is among them, as the last, for as long as it waits.
    if (left === 301) assert.equal(`${enrollments.at(-1).enrollment_id}`, `${real.enrollment_id}`)
    for (const { enrollment_id } of enrollments) await admin.ok('pki_enrollment_reject', { enrollment_id })
    left -= enrollments.length
  }
  assert.deepEqual(await admin.ok('pki_enrollment_list'), { status: 'ok', enrollments: [] })
})

test('an organization has so many enrollments that wait, and no more until some are decided', async () => {
  const { id, alice } = await client.org()
  const admin = await client.connect(alice)
  await flood(id, 999, 10)
  const last = submission()
  assert.equal((await client.anonymous(id, 'pki_enrollment_submit', last)).status, 'ok')
  assert.equal((await client.anonymous(id, 'pki_enrollment_submit', submission())).status, 'too_many_submitted')
  // One in place of another makes no more of them, and keeps nothing of the other but its dates.
  const { enrollment_id } = last
  const again = { ...last, enrollment_id: new Uuid(), force: true }
  assert.equal((await client.anonymous(id, 'pki_enrollment_submit', again)).status, 'ok')
  const info = await client.anonymous(id, 'pki_enrollment_info', { enrollment_id })
  assert.equal(info.enrollment_status, 'CANCELLED')
  const kept = `SELECT octet_length(submit_payload)::int AS bytes FROM pki_enrollment WHERE enrollment_id = $1`
  assert.deepEqual(await query(kept, [`${enrollment_id}`]), [{ bytes: 0 }])
  await admin.ok('pki_enrollment_reject', { enrollment_id: again.enrollment_id })
  assert.equal((await client.anonymous(id, 'pki_enrollment_submit', submission())).status, 'ok')
})

test('one address may submit so many enrollments a minute to an organization', async () => {
  const { id } = await client.org()
  const other = await client.org()
  const gateway = clientOf(cluster, cluster.process('gateway-3').url)
  for (let n = 0; n < 60; n++)
    assert.equal((await gateway.anonymous(id, 'pki_enrollment_submit', submission())).status, 'ok')
  await assert.rejects(gateway.anonymous(id, 'pki_enrollment_submit', submission()), /HTTP 429/)
  assert.equal((await gateway.anonymous(other.id, 'pki_enrollment_submit', submission())).status, 'ok')
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
