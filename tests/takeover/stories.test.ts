/** Devices that worked with a released server go on here, with the keys that they have (spec 07 §6). */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { deflateSync } from 'node:zlib'
import { Connection, Context, eventually, pack, SigningKey, Time, Uuid } from '../harness/client.ts'
import { ADMINISTRATION_TOKEN } from '../harness/launch.ts'
import { chooseFrom, encryptAgain } from './adopted.ts'
import { keysOf, migrated, parsec, RELEASES, restore } from './data-set.ts'
import { serve } from './server.ts'
import { deviceOf } from './snapshot.ts'

/** With a storage service. */
const SEQUESTERED = 'Orgf5702a13afb5114c'

const chosen = RELEASES.map(release => chooseFrom(release))
/** Its change log will lack numbers, as the original's own races left it in some databases. */
const gapped = chooseFrom('2.17.0', 1)
/** One version was written while a re-encryption began, and is not in what was encrypted again. */
const late = chooseFrom('2.17.0', 2)
const folder = await mkdtemp(join(tmpdir(), 'parsec-stories-'))
const database = await migrated()
await importAll()
const server = await serve(database)
after(async () => {
  await server[Symbol.asyncDispose]()
  await database.drop()
  await rm(folder, { recursive: true, force: true })
})

async function importAll(): Promise<void> {
  for (const { release, id } of chosen) {
    const source = await restore(release)
    const more = release === '2.17.0' ? [SEQUESTERED, gapped.id, late.id] : []
    if (release === '2.17.0') {
      await source.query(
        `UPDATE realm_vlob_update SET index = index + 100
         WHERE index > 1 AND realm = (SELECT _id FROM realm WHERE realm_id = $1)`,
        [gapped.facts.realms[0]],
      )
      await source.query(
        `WITH next AS (
           UPDATE realm SET encryption_revision = encryption_revision + 1 WHERE realm_id = $1 RETURNING _id, encryption_revision
         ), revision AS (
           INSERT INTO vlob_encryption_revision (realm, encryption_revision) SELECT _id, encryption_revision FROM next
           RETURNING _id, realm, encryption_revision
         )
         INSERT INTO vlob_atom (organization, vlob_encryption_revision, vlob_id, version, blob, size, author, created_on)
         SELECT organization, revision._id, vlob_id, version, blob, size, author, created_on
         FROM revision JOIN vlob_encryption_revision former
           ON former.realm = revision.realm AND former.encryption_revision = revision.encryption_revision - 1
         JOIN vlob_atom ON vlob_encryption_revision = former._id
         WHERE vlob_atom._id > (SELECT min(_id) FROM vlob_atom first WHERE first.vlob_encryption_revision = former._id)`,
        [late.facts.realms[0]],
      )
    }
    const { code, output } = await parsec(
      ...['import', `--from=${source.url}`, `--db=${database.url}`, `--report=${join(folder, 'report')}`],
      ...[id, ...more].map(organization => `--organization=${organization}`),
    )
    await source.drop()
    assert.equal(code, 0, output)
  }
  const report = await readFile(join(folder, 'report'), 'utf8')
  for (const why of ['the change log has gaps', 'the last re-encryption of the realm lacks it'])
    assert.equal(report.split(why).length, 2, report)
}

for (const { release, id, facts, seen } of chosen) {
  const { api, user_agent: userAgent } = keysOf(release)
  const open = (index: number) =>
    Connection.open(server.url, { device: deviceOf(id, facts.devices[index]!), api, userAgent })
  const realm_id = new Uuid(facts.realms[0])
  const owner = facts.devices[0]!

  test(`${release}: the next version is written, heard, and all that a poll from the old checkpoint gives`, async () => {
    const [alice, other] = await Promise.all([open(0), open(1)])
    try {
      const before = seen[owner.device_id]![`vlob_poll_changes ${facts.realms[0]}`] as { current_checkpoint: number }
      await other.ok('events_subscribe')
      const { id: vlob, versions, revision } = facts.vlobs[0]!
      const vlob_id = new Uuid(vlob)
      const blob = randomBytes(50)
      const version = versions + 1
      const update = { encryption_revision: revision, vlob_id, version, timestamp: Time.now(), blob }
      await alice.ok('vlob_update', update)
      const heard = await eventually(other, event => event.event === 'realm.vlobs_updated')
      assert.equal(heard.checkpoint, before.current_checkpoint + 1)
      for (const connection of [alice, other]) {
        const poll = { realm_id, last_checkpoint: before.current_checkpoint }
        const { current_checkpoint, changes } = await connection.ok('vlob_poll_changes', poll)
        assert.equal(current_checkpoint, before.current_checkpoint + 1)
        assert.deepEqual(plainChanges(changes), { [vlob]: version })
        const read = await connection.ok('vlob_read', {
          encryption_revision: revision,
          vlob_id,
          version,
          timestamp: null,
        })
        assert.deepEqual(Buffer.from(read.blob), blob)
      }
    } finally {
      await Promise.all([alice.close(), other.close()])
    }
  })

  test(`${release}: a realm is encrypted again, a message to each participant is the next of their inbox`, async () => {
    const alice = await open(0)
    try {
      const { messages: inbox } = await alice.ok('message_get', { offset: 0 })
      const { encryption_revision, message } = await encryptAgain(alice, realm_id, database)
      const { id: vlob, revision } = facts.vlobs[1]!
      const vlob_id = new Uuid(vlob)
      const read = { vlob_id, version: 1, timestamp: null }
      const old = await alice.cmd('vlob_read', { ...read, encryption_revision: revision })
      assert.equal(old.status, 'bad_encryption_revision')
      assert.ok((await alice.ok('vlob_read', { ...read, encryption_revision })).blob.length > 0)
      const { messages } = await alice.ok('message_get', { offset: inbox.length })
      assert.deepEqual(
        messages.map((entry: { count: number; body: Buffer }) => [entry.count, Buffer.from(entry.body)]),
        [[inbox.length + 1, message]],
      )
    } finally {
      await alice.close()
    }
  })

  test(`${release}: an administrator invites, the invited are greeted`, async () => {
    const alice = await open(0)
    try {
      const invitation = { type: 'USER', claimer_email: 'zoe@example.com', send_email: false }
      const { token } = await alice.ok('invite_new', invitation)
      const invited = { organization_id: id, invitation_type: 'USER', token }
      const zoe = await Connection.open(server.url, { invited, api })
      assert.equal((await zoe.ok('invite_info')).greeter_user_id, owner.user_id)
      const claimer_public_key = randomBytes(32)
      const [claimed, greeted] = await Promise.all([
        zoe.ok('invite_1_claimer_wait_peer', { claimer_public_key }),
        alice.ok('invite_1_greeter_wait_peer', { token, greeter_public_key: randomBytes(32) }),
      ])
      assert.equal(claimed.greeter_public_key.length, 32)
      assert.deepEqual(Buffer.from(greeted.claimer_public_key), claimer_public_key)
      await zoe.close()
    } finally {
      await alice.close()
    }
  })

  if (release !== '1.15.2')
    test(`${release}: somebody asks with a certificate of X.509, and the administrator sees it`, async () => {
      const alice = await open(0)
      const context = contextOf()
      try {
        const enrollment_id = new Uuid()
        const payload = {
          type: 'pki_enrollment_submit_payload',
          verify_key: new SigningKey().verify,
          public_key: randomBytes(32),
          requested_device_label: 'laptop',
        }
        const submitted = await context.anonymous(id, 'pki_enrollment_submit', {
          enrollment_id,
          force: false,
          submitter_der_x509_certificate: randomBytes(32),
          submitter_der_x509_certificate_email: 'zoe@example.com',
          submit_payload_signature: randomBytes(32),
          submit_payload: deflateSync(pack(payload)),
        })
        assert.equal(submitted.status, 'ok')
        const { enrollments } = await alice.ok('pki_enrollment_list')
        const ids = enrollments.map((entry: { enrollment_id: Uuid }) => String(entry.enrollment_id))
        assert.ok(ids.includes(String(enrollment_id)))
      } finally {
        await Promise.all([alice.close(), context.end()])
      }
    })
}

for (const [what, { id, facts, release }, gaps, lost] of [
  ['whose change log has gaps', gapped, 100, 0],
  ['that lacks a version since its last re-encryption', late, 0, 1],
] as const)
  test(`a realm ${what} is encrypted again to its end (07 §4)`, async () => {
    const { api, user_agent: userAgent } = keysOf(release)
    const alice = await Connection.open(server.url, { device: deviceOf(id, facts.devices[0]!), api, userAgent })
    try {
      const realm_id = new Uuid(facts.realms[0])
      const { total, done } = await encryptAgain(alice, realm_id, database)
      const versions = facts.vlobs.reduce((sum, vlob) => sum + vlob.versions, 0)
      assert.deepEqual([total, done], [versions - lost, versions - lost])
      const { current_checkpoint } = await alice.ok('vlob_poll_changes', { realm_id, last_checkpoint: 0 })
      assert.equal(current_checkpoint, versions + gaps)
    } finally {
      await alice.close()
    }
  })

test('sequester services are those that were, and writers must serve them', async () => {
  const { code, output } = await parsec(
    'sequester',
    'list_services',
    `--db=${database.url}`,
    `--organization=${SEQUESTERED}`,
  )
  assert.equal(code, 0, output)
  const [first] = [...output.matchAll(/\(id: ([0-9a-f-]+)\)/g)].map(([, id]) => id)
  assert.ok(first, output)
  const { api, organizations } = keysOf('2.17.0')
  const { devices, realms } = organizations[SEQUESTERED]!
  const alice = await Connection.open(server.url, { device: deviceOf(SEQUESTERED, devices[0]!), api })
  try {
    const vlob = { realm_id: new Uuid(realms[0]), encryption_revision: 1, vlob_id: new Uuid(), timestamp: Time.now() }
    const plain = await alice.cmd('vlob_create', { ...vlob, blob: randomBytes(10), sequester_blob: null })
    assert.equal(plain.status, 'sequester_inconsistency')
    const { sequester_services_certificates: services } = await alice.ok('organization_config')
    assert.equal(services.length, 1)
    const sequester_blob = new Map([[new Uuid(first), randomBytes(10)]])
    assert.equal((await alice.cmd('vlob_create', { ...vlob, blob: randomBytes(10), sequester_blob })).status, 'ok')
  } finally {
    await alice.close()
  }
})

const contextOf = () =>
  new Context({ url: server.url, token: ADMINISTRATION_TOKEN, target: 'ours', features: new Set() })
const plainChanges = (changes: object): { [vlob: string]: number } =>
  Object.fromEntries(
    (changes instanceof Map ? [...changes] : Object.entries(changes)).map(([vlob, version]) => [
      String(vlob).replace(/-|^uuid:/g, ''),
      Number(version),
    ]),
  )
