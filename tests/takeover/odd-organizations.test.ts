/** Organizations with rows as many years and releases of the original left them: nothing breaks what can be read (spec 07 §4). */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestDatabase } from '../harness/backing.ts'
import { Connection, Device, refused, revokedCertificate, Time, Uuid } from '../harness/client.ts'
import { adopt } from './adopted.ts'
import { expectedOf, keysOf, migrated, parsec, restore } from './data-set.ts'
import { serve } from './server.ts'
import { compare, deviceOf, type Json, snapshot } from './snapshot.ts'

const RELEASE = '2.17.0'
const keys = keysOf(RELEASE)
/** A realm with somebody of each role, somebody who had one, somebody who never had; vlobs and blocks. */
const ID = 'Org812f17997e14c8bf'
const facts = keys.organizations[ID]!

const OF = `organization = (SELECT _id FROM organization WHERE organization_id = '${ID}')`
const userKey = (user_id: string) => `(SELECT _id FROM user_ WHERE ${OF} AND user_id = '${user_id}')`
const deviceKey = (device_id: string) => `(SELECT _id FROM device WHERE ${OF} AND device_id = '${device_id}')`
const [mailless, mailed, unreasoned, cleared, pointless] = Array.from({ length: 5 }, () => new Uuid()) as [
  Uuid,
  Uuid,
  Uuid,
  Uuid,
  Uuid,
]
const [nobody, undated, decided] = [new Uuid(), new Uuid(), new Uuid()]
const [missing, short, long, empty] = facts.blocks as [string, string, string, string]

const ODD = `
  INSERT INTO shamir_recovery_setup (organization, user_, brief_certificate, reveal_token, threshold, shares)
  SELECT organization, _id, '', '${new Uuid()}', 1, 1 FROM user_ WHERE _id = ${userKey('manager')};
  INSERT INTO invitation (organization, token, type, greeter, claimer_email, created_on, deleted_on, deleted_reason, shamir_recovery)
  SELECT organization, token::uuid, type::invitation_type, _id, email, now(), deleted_on::timestamptz, NULL, setup FROM user_, (VALUES
    ('${mailless}', 'USER', NULL, NULL, NULL),
    ('${mailed}', 'DEVICE', 'zoe@example.com', NULL, NULL),
    ('${unreasoned}', 'USER', 'zed@example.com', '2024-01-01T00:00:00Z', NULL),
    ('${cleared}', 'SHAMIR_RECOVERY', NULL, NULL, (SELECT max(_id) FROM shamir_recovery_setup)),
    ('${pointless}', 'SHAMIR_RECOVERY', NULL, NULL, NULL)
  ) odd (token, type, email, deleted_on, setup) WHERE _id = ${userKey('alice')};
  INSERT INTO pki_enrollment (organization, enrollment_id, submitter_der_x509_certificate, submitter_der_x509_certificate_sha1,
    submit_payload_signature, submit_payload, submitted_on, enrollment_state, info_rejected, accepter, submitter_accepted_device)
  SELECT _id, id::uuid, '', '', '', '', now(), state::enrollment_state, rejected, device, device FROM organization, (VALUES
    ('${nobody}', 'ACCEPTED', NULL, NULL),
    ('${undated}', 'CANCELLED', NULL, NULL),
    ('${decided}', 'SUBMITTED', row(now())::pki_enrollment_info_rejected, ${deviceKey('alice@dev1')})
  ) odd (id, state, rejected, device) WHERE organization_id = '${ID}';
  UPDATE vlob_atom SET author = (SELECT _id FROM device WHERE user_ = ${userKey('stranger')} LIMIT 1)
  WHERE vlob_id = '${facts.vlobs[0]!.id}';
  DELETE FROM block_data WHERE block_id = '${missing}';
  UPDATE block_data SET data = '\\x0102' WHERE block_id = '${short}';
  UPDATE block SET size = 3 WHERE block_id = '${long}';
  UPDATE block_data SET data = '' WHERE block_id = '${empty}';
  UPDATE block SET size = 0 WHERE block_id = '${empty}';
  INSERT INTO block_data (organization_id, block_id, data) VALUES ('Elsewhere', '${missing}', '\\x03');
  UPDATE device SET device_label = NULL WHERE ${OF};
`

/** Two people who share a realm, all written by v2.12.0. */
const LATE = 'Org3ec342dab7f62a1e'
const YEARS = "interval '946684800 seconds'"
const ofLate = (table: string) =>
  `${table} WHERE organization = (SELECT _id FROM organization WHERE organization_id = '${LATE}')`
const ofLateRealm = (table: string) => `${table} WHERE realm IN (SELECT _id FROM ${ofLate('realm')})`
const later = (columns: string[], rows: string) =>
  `UPDATE ${rows.replace(' WHERE', ` SET ${columns.map(column => `${column} = ${column} + ${YEARS}`).join(', ')} WHERE`)};`
const WRITTEN_LATE = [
  later(['_created_on', '_bootstrapped_on'], `organization WHERE organization_id = '${LATE}'`),
  later(['created_on'], ofLate('user_')),
  later(['created_on'], ofLate('device')),
  later(['created_on'], ofLate('vlob_atom')),
  later(['created_on'], ofLate('invitation')),
  later(['timestamp'], ofLate('message')),
  later(['certified_on'], ofLateRealm('realm_user_role')),
  later(['last_role_change', 'last_vlob_update'], ofLateRealm('realm_user_change')),
].join('')
/** Bob's certificates are of a time when an email needed no @ and a label of a device no text. */
const OLD = 'Orgd036d14a907b2a94'
const oldAlice = deviceOf(OLD, keys.organizations[OLD]!.devices[0]!)
const oldBob = new Device(OLD, oldAlice.rvk, 'bob', 'dev1', { email: 'bob', label: 'Bob', device_label: '' })
/** One of them is revoked, then, too. */
const REVOKED = 'Org43d5d25c70434fe2'

const { folder, database, report, server, context } = await adopt('parsec-odd-organizations', importOdd)

async function importOdd(database: TestDatabase, folder: string): Promise<string> {
  const source = await restore(RELEASE)
  await source.query(ODD + WRITTEN_LATE)
  await revokeLate(source)
  await certifyAsOnce(source)
  const from = [`--from=${source.url}`, `--db=${database.url}`, `--report=${join(folder, 'report')}`]
  const organizations = [ID, LATE, REVOKED, OLD].map(id => `--organization=${id}`)
  const { code, output } = await parsec('import', ...from, ...organizations)
  const verified = await parsec('import', ...from, ...organizations, '--verify')
  await source.drop()
  assert.equal(code, 0, output)
  assert.equal(verified.code, 0, verified.output)
  return readFile(join(folder, 'report'), 'utf8')
}

async function revokeLate(source: TestDatabase): Promise<void> {
  const alice = deviceOf(REVOKED, keys.organizations[REVOKED]!.devices[0]!)
  const timestamp = Time.now()
  await source.query(
    `UPDATE user_ SET revoked_on = to_timestamp($1) + ${YEARS}, revoked_user_certificate = $2, revoked_user_certifier = device._id
     FROM device JOIN organization ON organization._id = device.organization
     WHERE organization_id = $3 AND device_id = $4 AND user_.organization = organization._id AND user_id = 'bob'`,
    [timestamp.us / 1e6, revokedCertificate(alice, 'bob', timestamp), REVOKED, alice.device_id],
  )
}

async function certifyAsOnce(source: TestDatabase): Promise<void> {
  const made = oldBob.certificates(oldAlice.device_id, oldAlice.key)
  await source.query(
    `WITH target AS (
       SELECT user_._id, human FROM user_ JOIN organization ON organization._id = organization
       WHERE organization_id = $1 AND user_id = 'bob'
     ), named AS (
       UPDATE human SET email = 'bob', label = 'Bob' FROM target WHERE human._id = target.human
     ), user_ AS (
       UPDATE user_ SET user_certificate = $2, redacted_user_certificate = $3 FROM target WHERE user_._id = target._id
     )
     UPDATE device SET device_label = '', device_certificate = $4, redacted_device_certificate = $5
     FROM target WHERE user_ = target._id`,
    [
      OLD,
      made['user_certificate'],
      made['redacted_user_certificate'],
      made['device_certificate'],
      made['redacted_device_certificate'],
    ],
  )
}

const { api, user_agent: userAgent } = keys
const open = (name: string) =>
  Connection.open(server.url, {
    device: deviceOf(ID, facts.devices.find(({ user_id }) => user_id === name)!),
    api,
    userAgent,
  })

test('every device gets an answer to everything that it asks', async () => {
  const seen = await snapshot(server.url, keys, [ID])
  const { devices } = seen[ID] as { devices: { [device_id: string]: { [label: string]: Json } } }
  for (const [device_id, answers] of Object.entries(devices))
    for (const [label, answer] of Object.entries(answers))
      assert.equal(typeof answer, 'object', `${device_id} ${label}: ${JSON.stringify(answer)}`)
})

test('invitations that lead nowhere are over, the others are there', async () => {
  const alice = await open('alice')
  const { invitations } = await alice.ok('invite_list')
  const tokens = invitations.map(({ token }: { token: Uuid }) => String(token))
  for (const token of [mailless, unreasoned, cleared, pointless]) assert.ok(!tokens.includes(String(token)))
  assert.ok(tokens.includes(String(mailed)))
  for (const token of [mailless, cleared, pointless])
    assert.match(report, new RegExp(String(token).replaceAll('-', '')))
  await alice.close()
})

test('enrollments that say less than their state needs are what they can be', async () => {
  const statuses = await Promise.all(
    [nobody, undated, decided].map(async enrollment_id => {
      const { status, enrollment_status } = await context.anonymous(ID, 'pki_enrollment_info', { enrollment_id })
      return [status, enrollment_status]
    }),
  )
  assert.deepEqual(statuses, [
    ['ok', 'CANCELLED'],
    ['ok', 'CANCELLED'],
    ['ok', 'SUBMITTED'],
  ])
})

test('an empty block is read, one whose data is away or of another size is a failure (05-data §10.2)', async () => {
  const alice = await open('alice')
  const read = async (id: string) => alice.cmd('block_read', { block_id: new Uuid(id) })
  for (const id of [missing, short, long]) assert.equal((await read(id)).status, 'timeout')
  for (const id of [short, long]) assert.match(report, new RegExp(`${id}.*it cannot be read`))
  assert.equal((await read(empty)).block.length, 0)
  await alice.close()
})

test('what v2.12.0 wrote 30 years late is of its time: devices see what they saw, and go on', async () => {
  const seen = await snapshot(server.url, keys, [LATE])
  const devicesOf = (answers: Json | undefined) => (answers as { devices: Json }).devices
  const differences = compare(devicesOf(expectedOf(RELEASE)[LATE]), devicesOf(seen[LATE]), [LATE])
  const known = /^(handshake|user_get|human_find|message_get|realm_|vlob_|archiving|invite_list)/
  assert.deepEqual(
    differences.filter(({ path }) => known.test(path.split(' › ')[2] ?? '')),
    [],
  )
  const { devices, vlobs, realms } = keys.organizations[LATE]!
  const alice = await Connection.open(server.url, { device: deviceOf(LATE, devices[0]!), api, userAgent })
  const { id, versions, revision } = vlobs[0]!
  const timestamp = Time.now()
  const update = {
    vlob_id: new Uuid(id),
    encryption_revision: revision,
    version: versions + 1,
    timestamp,
    blob: randomBytes(9),
  }
  assert.equal((await alice.cmd('vlob_update', update)).status, 'ok')
  for (const role of [null, 'READER'] as const) {
    const shared = await context.share(alice, deviceOf(LATE, devices[0]!), new Uuid(realms[0]), 'bob', role)
    assert.equal(shared.status, 'ok')
  }
  await alice.close()
  assert.match(report, /"table":"vlob_atom","row":"4 rows","why":"v2.12.0 wrote/)
})

test('whom v2.12.0 revoked is revoked', async () => {
  const device = deviceOf(REVOKED, keys.organizations[REVOKED]!.devices[1]!)
  assert.equal(device.user_id, 'bob')
  await refused(Connection.open(server.url, { device, api, userAgent }), 'revoked_device')
})

test('an export names blocks that cannot be read, and leaves them out where one asks for that', async () => {
  const options = [`--db=${database.url}`, '--blockstore=POSTGRESQL']
  const [stopped, whole] = [join(folder, 'stopped'), join(folder, 'whole')]
  const chosen = ['export', ...options, `--organization=${ID}`, '--blocks']
  const refused = await parsec(...chosen, `--output=${stopped}`)
  assert.deepEqual([refused.code, refused.output.includes('--without-damaged-blocks')], [1, true], refused.output)
  const { code, output } = await parsec(...chosen, '--without-damaged-blocks', `--output=${whole}`)
  assert.equal(code, 3, output)
  const damaged = [missing, short, long].map(id => String(new Uuid(id)))
  for (const id of damaged)
    assert.match(output.replaceAll('-', ''), new RegExp(`block ${id.replaceAll('-', '')} is left out`))
  const there = await migrated()
  const imported = await parsec('import', `--from=${whole}`, `--db=${there.url}`, '--blockstore=POSTGRESQL')
  assert.equal(imported.code, 0, imported.output)
  await using second = await serve(there)
  const before = (await snapshot(server.url, keys, [ID])) as Json
  assert.deepEqual(compare(before, (await snapshot(second.url, keys, [ID])) as Json), [])
})

test('an organization whose name is not composed is refused with the reason', async () => {
  const source = await restore(RELEASE)
  const name = 'Ecole\u0301'
  await source.query('UPDATE organization SET organization_id = $1 WHERE organization_id = $2', [name, LATE])
  const options = [`--from=${source.url}`, `--db=${database.url}`, `--report=${join(folder, 'names')}`]
  const { code, output } = await parsec('import', ...options, '--dry-run')
  await source.drop()
  assert.equal(code, 1)
  assert.match(output, /Ecole\u0301.*its name is not composed/)
})

test('who has a handle or a label that no certificate may have any more is taken, and goes on', async () => {
  const [alice, bob] = await Promise.all(
    [oldAlice, oldBob].map(device => Connection.open(server.url, { device, api, userAgent })),
  )
  const { results } = await alice!.ok('human_find', {
    ...{ query: 'bob', omit_revoked: false, omit_non_human: false, page: 1, per_page: 10 },
  })
  assert.deepEqual(
    results.map(({ human_handle }: { human_handle: string[] }) => human_handle),
    [['bob', 'Bob']],
  )
  for (const connection of [alice!, bob!]) {
    const { device_certificates } = await connection.ok('user_get', { user_id: 'bob' })
    assert.equal(device_certificates.length, 1)
    await connection.close()
  }
})
