/** Enrollment over API v1: who invites and who claims are connected to different gateways, in each order of their calls. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import { type Connection, type Context, clientOf, Device } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'

const V1 = [1, 2] as const
/** Certificates of the oldest clients name neither a human nor a device, so that they need no redacted ones. */
const OLDEST = { label: null, device_label: null }

const cluster = await Cluster.start({ topology: 'cluster' })
const [inviting, claiming] = ['gateway-1', 'gateway-2'].map(name => clientOf(cluster, cluster.process(name).url)) as [
  Context,
  Context,
]
const administering = clientOf(cluster)
after(async () => {
  await Promise.all([inviting.end(), claiming.end()])
  await cluster.stop()
})

async function scene() {
  const { id, alice } = await administering.org()
  const claimer = await claiming.open({ anonymous: { organization_id: id, rvk: alice.rvk } })
  return { alice, inviter: await inviting.connect(alice, { api: V1 }), claimer }
}

/** `user_invite` and `device_invite` answer only when somebody claims; that it is stored shows to the claimer. */
async function creatorOf(claimer: Connection, cmd: string, fields: object) {
  for (let asked = 0; asked < 1000; asked++) {
    const reply = await claimer.cmd(cmd, { ...fields })
    if (reply.status === 'ok') return reply
    assert.equal(reply.status, 'not_found')
  }
  assert.fail('the invitation is not stored')
}

test('a user is invited and claims (03-users §6)', async () => {
  const { alice, inviter, claimer } = await scene()
  const zack = new Device(alice.org, alice.rvk, 'zack', 'pc', OLDEST)
  const invited = inviter.cmd('user_invite', { user_id: 'zack' })
  const creator = await creatorOf(claimer, 'user_get_invitation_creator', { invited_user_id: 'zack' })
  assert.ok(creator.user_certificate.length > 0 && creator.device_certificate.length > 0)
  const encrypted_claim = randomBytes(200)
  const claimed = claimer.cmd('user_claim', { invited_user_id: 'zack', encrypted_claim })
  const told = await invited
  assert.equal(told.status, 'ok')
  assert.ok(encrypted_claim.equals(told.encrypted_claim))
  const { user_certificate, device_certificate } = zack.certificates(alice.device_id, alice.key)
  await inviter.ok('user_create', { user_certificate, device_certificate })
  const answer = await claimed
  assert.equal(answer.status, 'ok')
  assert.ok(user_certificate!.equals(answer.user_certificate))
  assert.ok(device_certificate!.equals(answer.device_certificate))
  const session = await claiming.connect(zack, { api: V1 })
  await claiming.vlob(session, await claiming.realm(session, zack))
})

test('a device is invited and claims (03-users §6)', async () => {
  const { alice, inviter, claimer } = await scene()
  const phone = new Device(alice.org, alice.rvk, 'alice', 'phone', { profile: 'ADMIN', ...OLDEST })
  const invited_device_id = phone.device_id
  const invited = inviter.cmd('device_invite', { invited_device_name: 'phone' })
  await creatorOf(claimer, 'device_get_invitation_creator', { invited_device_id })
  const encrypted_claim = randomBytes(200)
  const claimed = claimer.cmd('device_claim', { invited_device_id, encrypted_claim })
  const told = await invited
  assert.equal(told.status, 'ok')
  assert.ok(encrypted_claim.equals(told.encrypted_claim))
  const { device_certificate } = phone.deviceCertificates(alice.device_id, alice.key)
  const encrypted_answer = randomBytes(300)
  await inviter.ok('device_create', { device_certificate, encrypted_answer })
  const answer = await claimed
  assert.equal(answer.status, 'ok')
  assert.ok(encrypted_answer.equals(answer.encrypted_answer))
  assert.ok(device_certificate!.equals(answer.device_certificate))
  const session = await claiming.connect(phone, { api: V1 })
  assert.equal((await session.ok('user_get', { user_id: 'alice' })).device_certificates.length, 2)
})

test('an invitation that is cancelled on another gateway denies the claimer (03-users §6.6)', async () => {
  const { alice, inviter, claimer } = await scene()
  const invited = inviter.cmd('user_invite', { user_id: 'zack' })
  await creatorOf(claimer, 'user_get_invitation_creator', { invited_user_id: 'zack' })
  const claimed = claimer.cmd('user_claim', { invited_user_id: 'zack', encrypted_claim: randomBytes(9) })
  assert.equal((await invited).status, 'ok')
  const other = await inviting.connect(alice, { api: V1 })
  await other.ok('user_cancel_invitation', { user_id: 'zack' })
  assert.deepEqual(await claimed, { status: 'denied', reason: 'Invitation creator rejected us.' })
})
