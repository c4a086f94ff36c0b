/** Realms as races of the original left them in databases of many years: what their devices do with them here (spec 07 §4). */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import type { TestDatabase } from '../harness/backing.ts'
import { Connection, Time, Uuid } from '../harness/client.ts'
import { adopt, type Chosen, chooseFrom, encryptAgain, goOn } from './adopted.ts'
import { keysOf, parsec, restore } from './data-set.ts'
import { deviceOf } from './snapshot.ts'

const RELEASE = '2.17.0'
/** Of encryption revision 2, with vlobs of one version each. */
const [lost, twice, underWay, unlogged] = [1, 2, 3, 4].map(skip => chooseFrom(RELEASE, skip)) as [
  Chosen,
  Chosen,
  Chosen,
  Chosen,
]
/** Changes that the re-encryption under way has saved. */
const SAVED = 2
/** Of revision 2, a vlob of two versions, of which a sequester service has copies. */
const sequestered: Chosen = {
  release: RELEASE,
  id: 'Org9bbd77ffb322cffc',
  facts: keysOf(RELEASE).organizations['Org9bbd77ffb322cffc']!,
  seen: {},
}
/** Of revision 1. */
const [holed, doubled, collected] = [5, 6, 7].map(skip => chooseFrom(RELEASE, skip)) as [Chosen, Chosen, Chosen]

const { folder, database, report, server, context } = await adopt('parsec-odd-realms', importOdd)

/** Another version of a vlob, at a revision, a second after its newest. */
async function addVersion(source: TestDatabase, { facts }: Chosen, vlob: number, version: number, revision: number) {
  await source.query(
    `WITH place AS (
       SELECT realm._id AS realm, revision._id AS revision FROM realm
       JOIN vlob_encryption_revision revision ON revision.realm = realm._id AND revision.encryption_revision = $2
       WHERE realm.realm_id = $1
     ), added AS (
       INSERT INTO vlob_atom (organization, vlob_encryption_revision, vlob_id, version, blob, size, author, created_on)
       SELECT organization, place.revision, vlob_id, $4::int, $5::bytea, length($5::bytea), author, created_on + interval '1 second'
       FROM place, (SELECT * FROM vlob_atom WHERE vlob_id = $3 ORDER BY created_on DESC LIMIT 1) former RETURNING _id
     )
     INSERT INTO realm_vlob_update (realm, index, vlob_atom)
     SELECT place.realm, (SELECT max(index) + 1 FROM realm_vlob_update log WHERE log.realm = place.realm), added._id
     FROM place, added`,
    [facts.realms[0], revision, facts.vlobs[vlob]!.id, version, blobOf(version, revision)],
  )
}
function blobOf(version: number, revision: number): Buffer {
  return Buffer.from(`version ${version} at revision ${revision}`)
}

async function importOdd(database: TestDatabase, folder: string): Promise<string> {
  const source = await restore(RELEASE)
  // Written while a re-encryption began: a newest version, and one that was written again, as the writer saw none.
  await addVersion(source, lost, 0, 2, 1)
  await addVersion(source, twice, 0, 2, 1)
  await addVersion(source, twice, 0, 2, 2)
  // By bob, partly saved; and a version that came too late for the one before.
  await addVersion(source, underWay, 0, 2, 1)
  await source.query(
    `WITH next AS (
       UPDATE realm SET encryption_revision = 3, maintenance_type = 'REENCRYPTION', maintenance_started_on = now(),
         maintenance_started_by = (SELECT _id FROM device WHERE organization = realm.organization AND device_id = 'bob@dev1')
       WHERE realm_id = $1 RETURNING _id
     ), revision AS (
       INSERT INTO vlob_encryption_revision (realm, encryption_revision) SELECT _id, 3 FROM next RETURNING _id, realm
     )
     INSERT INTO vlob_atom (organization, vlob_encryption_revision, vlob_id, version, blob, size, author, created_on)
     SELECT organization, revision._id, vlob_id, version, blob, size, author, created_on
     FROM revision JOIN vlob_encryption_revision former ON former.realm = revision.realm AND former.encryption_revision = 2
     JOIN vlob_atom ON vlob_encryption_revision = former._id WHERE vlob_id IN (
       SELECT vlob_id FROM realm_vlob_update log JOIN vlob_atom ON vlob_atom._id = log.vlob_atom
       WHERE log.realm = revision.realm AND index <= $2
     )`,
    [underWay.facts.realms[0], SAVED],
  )
  await source.query(
    `DELETE FROM realm_vlob_update WHERE vlob_atom IN (SELECT _id FROM vlob_atom WHERE vlob_id = $1)`,
    [unlogged.facts.vlobs[0]!.id],
  )
  for (const version of [4, 5]) await addVersion(source, holed, 0, version, 1)
  await source.query(
    `INSERT INTO realm_vlob_update (realm, index, vlob_atom)
     SELECT realm, 100 + index, vlob_atom FROM realm_vlob_update WHERE realm = (SELECT _id FROM realm WHERE realm_id = $1)`,
    [doubled.facts.realms[0]],
  )
  for (const [version, revision] of [
    [3, 1],
    [3, 2],
    [4, 1],
  ] as const) {
    await addVersion(source, sequestered, 0, version, revision)
    await source.query(
      `INSERT INTO sequester_service_vlob_atom (vlob_atom, service, blob)
       SELECT atom._id, service._id, $2 FROM (SELECT * FROM vlob_atom WHERE vlob_id = $1 ORDER BY _id DESC LIMIT 1) atom
       JOIN sequester_service service USING (organization)`,
      [sequestered.facts.vlobs[0]!.id, blobOf(version, revision)],
    )
  }
  await source.query(
    `UPDATE realm SET maintenance_type = 'GARBAGE_COLLECTION', maintenance_started_on = now() WHERE realm_id = $1`,
    [collected.facts.realms[0]],
  )
  const chosen = [collected, lost, twice, underWay, unlogged, holed, doubled].map(({ id }) => `--organization=${id}`)
  const from = [`--from=${source.url}`, `--db=${database.url}`, `--report=${join(folder, 'report')}`]
  const { code, output } = await parsec('import', ...from, ...chosen)
  const verified = await parsec('import', ...from, ...chosen, '--verify')
  const left = await parsec('import', ...from, `--organization=${sequestered.id}`)
  await source.drop()
  assert.equal(code, 0, output)
  assert.equal(left.code, 3, left.output)
  assert.equal(verified.code, 0, verified.output)
  return readFile(join(folder, 'report'), 'utf8')
}

const { api, user_agent: userAgent } = keysOf(RELEASE)
const open = ({ id, facts }: Chosen, index = 0) =>
  Connection.open(server.url, { device: deviceOf(id, facts.devices[index]!), api, userAgent })
const realmOf = ({ facts }: Chosen) => new Uuid(facts.realms[0])
const vlobOf = ({ facts }: Chosen, index = 0) => new Uuid(facts.vlobs[index]!.id)
const newest = { version: null, timestamp: null }

test('what the last re-encryption lacks does not hide the version before, and the next one takes its number', async () => {
  const alice = await open(lost)
  const [realm_id, vlob_id] = [realmOf(lost), vlobOf(lost)]
  const read = await alice.ok('vlob_read', { encryption_revision: 2, vlob_id, ...newest })
  assert.equal(read.version, 1)
  const { versions } = await alice.ok('vlob_list_versions', { vlob_id })
  assert.deepEqual(numbersOf(versions), [1])
  const before = await alice.ok('vlob_poll_changes', { realm_id, last_checkpoint: lost.facts.vlobs.length })
  assert.deepEqual(changesOf(before.changes), [[String(vlob_id), 1]])
  const blob = randomBytes(30)
  const written = { encryption_revision: 2, vlob_id, version: 2, timestamp: Time.now(), blob }
  assert.equal((await alice.cmd('vlob_update', written)).status, 'ok')
  assert.deepEqual((await alice.ok('vlob_read', { encryption_revision: 2, vlob_id, ...newest })).blob, blob)
  const { total, done, encryption_revision } = await encryptAgain(alice, realm_id, database, 1)
  assert.deepEqual([total, done], [lost.facts.vlobs.length + 1, lost.facts.vlobs.length + 1])
  const again = await alice.ok('vlob_read', { encryption_revision, vlob_id, ...newest })
  assert.deepEqual([again.version, Buffer.from(again.blob)], [2, Buffer.from(blob).reverse()])
  await alice.close()
})

test('a version that is in the change log twice, lost and written again, is encrypted once', async () => {
  const alice = await open(twice)
  const vlob_id = vlobOf(twice)
  const read = await alice.ok('vlob_read', { encryption_revision: 2, vlob_id, ...newest })
  assert.deepEqual([read.version, Buffer.from(read.blob)], [2, blobOf(2, 2)])
  const { total, done } = await encryptAgain(alice, realmOf(twice), database, 3)
  assert.deepEqual([total, done], [twice.facts.vlobs.length + 1, twice.facts.vlobs.length + 1])
  await alice.close()
})

test('a re-encryption of somebody who is revoked since goes on where it was, to its end', async () => {
  const alice = await open(underWay)
  const device = deviceOf(underWay.id, underWay.facts.devices[0]!)
  const bob = await open(underWay, 1)
  const realm_id = realmOf(underWay)
  const status = await bob.ok('realm_status', { realm_id })
  assert.deepEqual([status.maintenance_type, status.maintenance_started_by], ['REENCRYPTION', 'bob@dev1'])
  const read = await bob.ok('vlob_read', { encryption_revision: 2, vlob_id: vlobOf(underWay), ...newest })
  assert.equal(read.version, 1)
  const [place] = await database.query('SELECT reencrypted, reencrypted_up_to FROM realm WHERE realm_id = $1', [
    underWay.facts.realms[0],
  ])
  assert.deepEqual(place, { reencrypted: String(SAVED), reencrypted_up_to: String(SAVED) })
  assert.equal((await context.revoke(alice, device, 'bob')).status, 'ok')
  await bob.untilClosed()
  const { total, done } = await goOn(alice, realm_id, 3, 1)
  assert.deepEqual([total, done], [underWay.facts.vlobs.length, underWay.facts.vlobs.length])
  const timestamp = Time.now()
  const next = { encryption_revision: 3, vlob_id: vlobOf(underWay), version: 2, timestamp, blob: randomBytes(5) }
  assert.equal((await alice.cmd('vlob_update', next)).status, 'ok')
  await alice.close()
})

test('of a version that was written again a sequester service has the newer one, and gets what takes a number again', async () => {
  assert.match(report, /"kind":"left_out","table":"sequester_blob".*was written again/)
  const alice = await open(sequestered)
  const [vlob_id, place] = [vlobOf(sequestered), { encryption_revision: 2, timestamp: Time.now() }]
  const services = await database.query<{ service_id: string }>(
    `SELECT service_id::text FROM sequester_service JOIN organization ON organization._id = organization
     WHERE organization_id = $1`,
    [sequestered.id],
  )
  const [blob, copy] = [randomBytes(8), randomBytes(9)]
  const sequester_blob = new Map(services.map(({ service_id }) => [new Uuid(service_id), copy]))
  const written = await alice.cmd('vlob_update', { ...place, vlob_id, version: 4, blob, sequester_blob })
  assert.equal(written.status, 'ok')
  await alice.close()
  const copies = await database.query<{ version: string; blob: Buffer }>(
    `SELECT copy.version, copy.blob FROM vlob JOIN sequester_blob copy ON copy.vlob = vlob._id
     WHERE vlob_id = $1 ORDER BY copy.version DESC LIMIT 2`,
    [String(vlob_id)],
  )
  assert.deepEqual(
    copies.map(({ version, blob }) => [Number(version), blob]),
    [
      [4, copy],
      [3, blobOf(3, 2)],
    ],
  )
})

test('an export for a sequester service tells when the version was written whose copy it has', async () => {
  const alice = await open(sequestered)
  const { versions } = await alice.ok('vlob_list_versions', { vlob_id: vlobOf(sequestered) })
  await alice.close()
  const [service] = await database.query<{ id: string }>(
    `SELECT service_id::text AS id FROM sequester_service JOIN organization ON organization._id = organization
     WHERE organization_id = $1`,
    [sequestered.id],
  )
  const file = join(folder, 'export')
  const { code, output } = await parsec(
    ...['sequester', 'export_realm', `--db=${database.url}`, '--blockstore=POSTGRESQL', `--output=${file}`],
    ...[`--organization=${sequestered.id}`, `--service=${service!.id}`, `--realm=${realmOf(sequestered)}`],
  )
  assert.equal(code, 0, output)
  const exported = new DatabaseSync(file).prepare('SELECT timestamp FROM vlob_atom WHERE version = 3').all()
  const [, [written]] = versionsOf(versions).find(([version]) => version === 3)!
  assert.deepEqual(
    exported.map(({ timestamp }) => timestamp),
    [written.us],
  )
})

test('a version that no change tells of is named, and stays readable as long as its revision', async () => {
  assert.match(report, new RegExp(`${unlogged.facts.vlobs[0]!.id} version 1.*no change tells of it`))
  const alice = await open(unlogged)
  const read = { vlob_id: vlobOf(unlogged), ...newest }
  assert.equal((await alice.ok('vlob_read', { encryption_revision: 2, ...read })).version, 1)
  const { total, done } = await encryptAgain(alice, realmOf(unlogged), database, 4)
  assert.deepEqual([total, done], [unlogged.facts.vlobs.length - 1, unlogged.facts.vlobs.length - 1])
  await alice.close()
})

test('versions around a missing one are found by number, by instant, and as the newest', async () => {
  const alice = await open(holed)
  const vlob_id = vlobOf(holed)
  const { versions } = await alice.ok('vlob_list_versions', { vlob_id })
  assert.deepEqual(numbersOf(versions), [1, 2, 4, 5])
  const at = async (timestamp: Time | null, version: number | null = null) =>
    alice.cmd('vlob_read', { encryption_revision: 1, vlob_id, version, timestamp })
  for (const [version, [timestamp]] of versionsOf(versions)) {
    const read = await at(timestamp)
    assert.equal(read.version, version, `version ${version} at its instant`)
    assert.equal((await at(null, version)).status, 'ok')
  }
  assert.equal((await at(null, 3)).status, 'bad_version')
  assert.equal((await at(versionsOf(versions)[0]![1][0].plus(-1))).status, 'bad_version')
  const next = { encryption_revision: 1, vlob_id, version: 6, timestamp: Time.now(), blob: randomBytes(5) }
  assert.equal((await alice.cmd('vlob_update', next)).status, 'ok')
  const written = holed.facts.vlobs.reduce((sum, vlob) => sum + vlob.versions, 0) + 3
  const { total, done } = await encryptAgain(alice, realmOf(holed), database, 2)
  assert.deepEqual([total, done], [written, written])
  await alice.close()
})

test('a change log that tells of each version twice is one of so many versions', async () => {
  const alice = await open(doubled)
  const realm_id = realmOf(doubled)
  const { changes, current_checkpoint } = await alice.ok('vlob_poll_changes', { realm_id, last_checkpoint: 0 })
  assert.deepEqual(
    [changesOf(changes).length, current_checkpoint],
    [doubled.facts.vlobs.length, 100 + doubled.facts.vlobs.length],
  )
  const { total, done } = await encryptAgain(alice, realm_id, database, 2)
  assert.deepEqual([total, done], [doubled.facts.vlobs.length, doubled.facts.vlobs.length])
  await alice.close()
})

test('a realm under garbage collection is named, and says so to everybody', async () => {
  assert.match(report, new RegExp(`${collected.facts.realms[0]}.*a garbage collection is under way`))
  const alice = await open(collected)
  const { maintenance_type } = await alice.ok('realm_status', { realm_id: realmOf(collected) })
  assert.equal(maintenance_type, 'GARBAGE_COLLECTION')
  const polled = await alice.cmd('vlob_poll_changes', { realm_id: realmOf(collected), last_checkpoint: 0 })
  assert.equal(polled.status, 'in_maintenance')
  await alice.close()
})

const entriesOf = <V>(map: object): [string, V][] =>
  map instanceof Map ? [...map].map(([key, value]) => [String(key), value]) : Object.entries(map)
const versionsOf = (versions: object): [number, [Time, string]][] =>
  entriesOf<[Time, string]>(versions)
    .map(([version, written]): [number, [Time, string]] => [Number(version), written])
    .sort(([a], [b]) => a - b)
const numbersOf = (versions: object): number[] => versionsOf(versions).map(([version]) => version)
const changesOf = (changes: object): [string, number][] =>
  entriesOf<number>(changes).map(([vlob, version]) => [vlob.replace(/^uuid:/, ''), Number(version)])
