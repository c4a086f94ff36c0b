/** Clients of four eras work in one organization: none is ever told an event, status or value that its release does not know. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import { deflateSync } from 'node:zlib'
import {
  type Connection,
  certificate,
  clientOf,
  Device,
  eventually,
  pack,
  type Reply,
  SigningKey,
  Time,
  Uuid,
} from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'

type Era = {
  api: readonly [number, number]
  userAgent: string
  events: ReadonlySet<string>
  statuses: ReadonlySet<string>
}

/** 01-wire §10.5, 05-data §1.6. Statuses that every release takes for a general error need no gate, and are in all. */
const EVENTS = [
  'pinged',
  'message.received',
  'realm.roles_updated',
  'realm.vlobs_updated',
  'realm.maintenance_started',
  'realm.maintenance_finished',
]
const STATUSES = ['ok', 'not_allowed', 'in_maintenance', 'bad_encryption_revision', 'realm_archived', 'already_revoked']
const OLD_MISMATCH = 'participants_mismatch'
const NEW_MISMATCH = 'participant_mismatch'
const ERAS = {
  vera: { api: [1, 2], userAgent: '', events: new Set(EVENTS), statuses: new Set([...STATUSES, OLD_MISMATCH]) },
  dora: {
    api: [2, 0],
    userAgent: '',
    events: new Set([...EVENTS, 'invite.status_changed']),
    statuses: new Set([...STATUSES, OLD_MISMATCH]),
  },
  otto: {
    api: [2, 8],
    userAgent: 'parsec/2.11.1',
    events: new Set([...EVENTS, 'invite.status_changed', 'pki_enrollment.updated']),
    statuses: new Set([...STATUSES, OLD_MISMATCH]),
  },
  alice: {
    api: [3, 4],
    userAgent: 'parsec/2.17.0',
    events: new Set([...EVENTS, 'invite.status_changed', 'pki_enrollment.updated', 'realm.archiving_updated']),
    statuses: new Set([...STATUSES, NEW_MISMATCH]),
  },
} as const satisfies { [user: string]: Era }
type Name = keyof typeof ERAS
const NAMES = Object.keys(ERAS) as Name[]

const cluster = await Cluster.start({ topology: 'cluster' })
const client = clientOf(cluster)
after(async () => {
  await client.end()
  await cluster.stop()
})

/** A user's session, which checks each status that it is told, and a listener on a second device of the same release. */
class Member {
  readonly name: Name
  readonly device: Device
  readonly session: Connection
  readonly listener: Connection
  readonly heard: string[] = []

  constructor(name: Name, device: Device, session: Connection, listener: Connection) {
    this.name = name
    this.device = device
    this.session = session
    this.listener = listener
  }
  async cmd(cmd: string, fields: { [field: string]: unknown } = {}): Promise<Reply> {
    const reply = await this.session.cmd(cmd, fields)
    assert.ok(
      (ERAS[this.name].statuses as ReadonlySet<string>).has(reply.status),
      `${this.name}: ${cmd} ${reply.status}`,
    )
    return reply
  }
  async ok(cmd: string, fields: { [field: string]: unknown } = {}): Promise<Reply> {
    const reply = await this.cmd(cmd, fields)
    assert.equal(reply.status, 'ok', `${this.name}: ${cmd}`)
    return reply
  }
  /** Takes the events up to a ping. */
  async catchUp(mark: string): Promise<void> {
    await eventually(this.listener, event => {
      const known = ERAS[this.name].events as ReadonlySet<string>
      assert.ok(known.has(event.event), `${this.name} is told ${event.event}`)
      this.heard.push(event.event)
      return event.ping === mark
    })
  }
}

async function join(name: Name, device: Device, creator: Connection): Promise<Member> {
  const { api, userAgent } = ERAS[name]
  const session = await client.connect(device, { api, userAgent })
  const second = await client.device(creator, device, 'listening')
  const listener = await client.connect(second, { api, userAgent })
  await listener.ok('events_subscribe')
  return new Member(name, device, session, listener)
}

test('clients of API 1.2, 2.0, 2.8 and 3.4 share, re-encrypt, archive, revoke and enroll', async () => {
  const { id, alice } = await client.org()
  const founder = await client.connect(alice, { api: [3, 4] })
  const members = {} as { [name in Name]: Member }
  for (const name of NAMES) {
    const device = name === 'alice' ? alice : await client.user(founder, alice, name)
    members[name] = await join(name, device, await client.connect(device, { api: [3, 4] }))
  }
  const { vera, dora, otto, alice: admin } = members
  const present = new Set(Object.values(members))
  const settle = async () => {
    const mark = randomBytes(8).toString('hex')
    await founder.ok('ping', { ping: mark })
    await Promise.all([...present].map(member => member.catchUp(mark)))
  }
  // The administrator's old client hears what concerns the administrator, and must not hear of invitations.
  const old = await client.connect(await client.device(founder, alice, 'old'), { api: [1, 2], userAgent: '' })
  await old.ok('events_subscribe')

  // Share: everybody owns the realm, writes into it, and reads what the others write.
  const realm_id = await client.realm(founder, alice)
  for (const name of NAMES)
    if (name !== 'alice') assert.equal((await client.share(founder, alice, realm_id, name, 'OWNER')).status, 'ok')
  const written: { vlob_id: Uuid; blob: Buffer }[] = []
  const write = async (member: Member, encryption_revision: number): Promise<Reply> => {
    const [vlob_id, blob] = [new Uuid(), randomBytes(50)]
    const content = { realm_id, encryption_revision, vlob_id, timestamp: Time.now(), blob }
    const reply = await member.cmd('vlob_create', content)
    if (reply.status === 'ok') written.push({ vlob_id, blob })
    return reply
  }
  const readAll = async (encryption_revision: number) => {
    for (const member of present)
      for (const { vlob_id, blob } of written) {
        const request = { encryption_revision, vlob_id, version: 1, timestamp: null }
        assert.ok(blob.equals((await member.ok('vlob_read', request)).blob))
      }
  }
  for (const member of present) assert.equal((await write(member, 1)).status, 'ok')
  await readAll(1)
  await settle()

  // Re-encrypt: each in turn, first with the participants wrong.
  let revision = 1
  for (const member of present) {
    const encryption_revision = ++revision
    const common = { realm_id, encryption_revision }
    const start = (participants: readonly string[]) =>
      member.cmd('realm_start_reencryption_maintenance', {
        ...common,
        timestamp: Time.now(),
        per_participant_message: Object.fromEntries(participants.map(name => [name, randomBytes(9)])),
      })
    assert.equal((await start([member.name])).status, member === admin ? NEW_MISMATCH : OLD_MISMATCH)
    assert.equal((await start(NAMES)).status, 'ok')
    for (const other of present) assert.equal((await write(other, encryption_revision)).status, 'in_maintenance')
    const { batch } = await member.ok('vlob_maintenance_get_reencryption_batch', { ...common, size: 1000 })
    await member.ok('vlob_maintenance_save_reencryption_batch', { ...common, batch })
    await member.ok('realm_finish_reencryption_maintenance', common)
    await readAll(encryption_revision)
    await settle()
  }

  // Archive and open again.
  const archive = (type: string) =>
    admin.ok('realm_update_archiving', {
      archiving_certificate: certificate(alice.key, {
        type: 'realm_archiving_certificate',
        author: alice.device_id,
        timestamp: Time.now(),
        realm_id,
        configuration: { type },
      }),
    })
  await archive('ARCHIVED')
  for (const member of present) assert.equal((await write(member, revision)).status, 'realm_archived')
  await archive('AVAILABLE')
  for (const member of present) assert.equal((await write(member, revision)).status, 'ok')
  await settle()

  // Invitations: of those who can, each lists its own, and none hears of another's.
  for (const member of [dora, otto, admin]) {
    const { token } = await member.ok('invite_new', { type: 'DEVICE', send_email: false })
    const { invitations } = await member.ok('invite_list')
    assert.deepEqual(
      invitations.map((listed: Reply) => [listed.type, `${listed.token}`]),
      [['DEVICE', `${token}`]],
    )
    await member.ok('invite_delete', { token, reason: 'CANCELLED' })
  }
  await shamir()
  await settle()

  // Enroll by a certificate.
  await enrollByCertificate()
  await settle()

  // Revoke.
  await admin.ok('user_revoke', {
    revoked_user_certificate: certificate(alice.key, {
      type: 'revoked_user_certificate',
      author: alice.device_id,
      timestamp: Time.now(),
      user_id: 'dora',
    }),
  })
  await Promise.all([dora.session.untilClosed(), dora.listener.untilClosed()])
  present.delete(dora)
  assert.equal((await client.revoke(founder, alice, 'dora')).status, 'already_revoked')
  for (const member of present) assert.equal((await write(member, revision)).status, 'ok')
  await readAll(revision)
  await settle()

  for (const [name, member] of Object.entries(members))
    assert.deepEqual(new Set(member.heard), ERAS[name as Name].events, `${name} has been told of everything it knows`)
  const mark = randomBytes(8).toString('hex')
  await founder.ok('ping', { ping: mark })
  await eventually(old, event => {
    assert.ok(ERAS.vera.events.has(event.event), `an old client of the administrator is told ${event.event}`)
    return event.ping === mark
  })
  assert.ok(!vera.listener.closed && !otto.listener.closed)

  /** A recovery of which members of three eras are recipients: the lists of the older two stay as they can read them. */
  async function shamir(): Promise<void> {
    const newt = await client.user(founder, alice, 'newt')
    const session = await client.connect(newt, { api: [3, 4] })
    const common = { author: newt.device_id, timestamp: Time.now() }
    const recipients = ['alice', 'otto', 'dora']
    const share = (recipient: string) =>
      certificate(newt.key, {
        type: 'shamir_recovery_share_certificate',
        ...common,
        recipient,
        ciphered_share: randomBytes(20),
      })
    const brief = certificate(newt.key, {
      type: 'shamir_recovery_brief_certificate',
      ...common,
      threshold: 2,
      per_recipient_shares: Object.fromEntries(recipients.map(name => [name, 1])),
    })
    const setup = { ciphered_data: randomBytes(40), reveal_token: new Uuid(), brief, shares: recipients.map(share) }
    await session.ok('shamir_recovery_setup', { setup })
    await admin.ok('invite_new', { type: 'SHAMIR_RECOVERY', claimer_user_id: 'newt', send_email: false })
    const typesOf = async (member: Member) =>
      (await member.ok('invite_list')).invitations.map((listed: Reply) => listed.type)
    assert.deepEqual(await typesOf(admin), ['SHAMIR_RECOVERY'])
    for (const member of [dora, otto]) assert.deepEqual(await typesOf(member), [])
  }

  async function enrollByCertificate(): Promise<void> {
    const enrollment_id = new Uuid()
    const submitter = new Device(id, alice.rvk, 'petra', 'pc')
    const submitted = await client.anonymous(id, 'pki_enrollment_submit', {
      enrollment_id,
      force: false,
      submitter_der_x509_certificate: randomBytes(40),
      submitter_der_x509_certificate_email: 'petra@example.com',
      submit_payload_signature: randomBytes(20),
      submit_payload: deflateSync(
        pack({
          type: 'pki_enrollment_submit_payload',
          verify_key: new SigningKey().verify,
          public_key: randomBytes(32),
          requested_device_label: 'pc',
        }),
      ),
    })
    assert.equal(submitted.status, 'ok')
    await admin.ok('pki_enrollment_accept', {
      enrollment_id,
      accepter_der_x509_certificate: randomBytes(40),
      accept_payload_signature: randomBytes(20),
      accept_payload: deflateSync(
        pack({
          type: 'pki_enrollment_answer_payload',
          device_id: submitter.device_id,
          device_label: 'pc',
          human_handle: ['petra@example.com', 'petra'],
          profile: submitter.profile,
          root_verify_key: alice.rvk,
        }),
      ),
      ...submitter.certificates(alice.device_id, alice.key),
    })
    await client.connect(submitter, { api: [2, 8] })
  }
})
