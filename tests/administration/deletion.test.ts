/** An organization is deleted through the administration API: in two steps, whole, and again when it was interrupted. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { BELONGINGS, MADE_ANEW } from '@parsec/metadata/storage/belongings'
import { NatsBus } from '@parsec/shared/bus/nats'
import { callInternal } from '@parsec/shared/bus/rpc'
import pg from 'pg'
import { recordingLog } from '../blockstore/service.ts'
import { type Context, clientOf, refused, roleCertificate, Uuid } from '../harness/client.ts'
import { ADMINISTRATION_TOKEN, Cluster } from '../harness/launch.ts'

const folder = await mkdtemp(join(tmpdir(), 'parsec-deletion-'))
after(() => rm(folder, { recursive: true, force: true }))

type Answer = { status: number; json: { [field: string]: unknown } }
async function call(client: Context, path: string, token = ADMINISTRATION_TOKEN): Promise<Answer> {
  const headers = { authorization: `Bearer ${token}` }
  const { status, json } = await client.fetch(`/administration/${path}`, { method: 'DELETE', headers })
  return { status, json: json as Answer['json'] }
}
/** As the documents say: while it is not done, the same again. */
async function deleteAll(client: Context, path: string): Promise<Answer> {
  for (;;) {
    const answer = await call(client, path)
    if (answer.status !== 202) return answer
  }
}

/** With a realm, a version, blocks, a second user, an invitation and a message. */
async function populated(client: Context) {
  const { id, alice } = await client.org()
  const connection = await client.connect(alice)
  const bob = await client.user(connection, alice, 'bob')
  const realm = await client.realm(connection, alice)
  await client.vlob(connection, realm)
  await client.share(connection, alice, realm, bob.user_id, 'READER')
  for (let n = 0; n < 3; n++)
    await connection.ok('block_create', { block_id: new Uuid(), realm_id: realm, block: randomBytes(100) })
  await connection.ok('invite_new', { type: 'DEVICE', send_email: false })
  return { id, alice, connection }
}

for (const topology of ['single', 'cluster'] as const)
  test(`${topology}: the first call tells what would go, the second one deletes`, async t => {
    const nodes = [join(folder, `${topology}-a`), join(folder, `${topology}-b`)]
    for (const node of nodes) await mkdir(node)
    const blockstore = nodes.map((node, i) => `RAID1:${i}:FILE:${node}`)
    const cluster = await Cluster.start({ topology, blockstore })
    const client = clientOf(cluster)
    t.after(async () => {
      await client.end()
      await cluster.stop()
    })
    const objectsOf = async (id: string) =>
      (
        await Promise.all(
          nodes.map(node => readdir(join(node, id), { recursive: true, withFileTypes: true }).catch(() => [])),
        )
      )
        .flat()
        .filter(entry => entry.isFile()).length

    const { id, alice, connection } = await populated(client)
    const path = `v2/organizations/${id}`
    const other = await populated(client)
    assert.equal(await objectsOf(id), 6)
    // Left behind by an upload that failed: no block of the metadata.
    const orphan = join(nodes[0]!, id, '00')
    await mkdir(orphan, { recursive: true })
    await writeFile(join(orphan, '00000000-0000-0000-0000-000000000000'), 'x')

    assert.equal((await call(client, path, 'wrong')).status, 403)
    assert.deepEqual(await call(client, `v2/organizations/Unknown`), { status: 404, json: { error: 'not_found' } })
    assert.equal((await call(client, `v2/organizations/a%00b`)).status, 404)
    const asked = await call(client, path)
    assert.equal(asked.status, 409)
    const { code, ...doomed } = asked.json
    assert.deepEqual(doomed, {
      error: 'confirmation_required',
      reason: 'With `confirm` and this code all of it is deleted for good.',
      ...{ users: 2, realms: 1, data_size: 300, is_begun: false },
    })
    const confirmed = `${path}?confirm=${code}`
    for (const bad of [
      `${path}?confirm=`,
      `${path}?confirm=00000000`,
      `${confirmed}&confirm=${code}`,
      `${path}?confrim=x`,
    ])
      assert.equal((await call(client, bad)).json['error'], 'bad_data', bad)
    assert.equal((await call(client, `v2/organizations/Unknown?confirm=${code}`)).status, 404)
    // Somebody, or a realm, has come meanwhile: that is not what was asked about.
    for (const come of [() => client.user(connection, alice, 'mallory'), () => client.realm(connection, alice)]) {
      const { code } = (await call(client, path)).json
      await come()
      assert.equal((await call(client, `${path}?confirm=${code}`)).status, 400)
    }
    if (cluster.nats) {
      const bus = await NatsBus.connect({ url: cluster.nats.url, name: 'test', log: recordingLog([]) })
      const { are_gone } = await callInternal(bus, 'objects_remove', { organization_id: id })
      assert.equal(are_gone, false, 'objects of an organization that nobody deletes')
      await bus.drain()
      assert.equal(await objectsOf(id), 6 + 1)
    }
    assert.equal(await connection.cmd('ping', { ping: 'x' }).then(({ status }) => status), 'ok')

    // Interrupted: one storage of the blocks is away.
    const again = `${path}?confirm=${(await call(client, path)).json['code']}`
    await rename(nodes[1]!, `${nodes[1]}-away`)
    await writeFile(nodes[1]!, '')
    assert.deepEqual(await deleteAll(client, again), { status: 503, json: { error: 'unavailable' } })
    await connection.untilClosed()
    await refused(client.connect(alice))
    await refused(client.open({ anonymous: { organization_id: id } }), 'organization_expired')
    assert.equal((await call(client, path)).json['is_begun'], true)
    // No way back in, and its name is not free yet.
    const reopened = await client.admin('PATCH', `/organizations/${id}`, { is_expired: false })
    assert.equal(reopened.status, 404)
    assert.equal((await client.admin('POST', '/organizations', { organization_id: id })).status, 400)
    assert.equal((await call(client, `${path}?confirm=00000000`)).status, 400)

    await rm(nodes[1]!)
    await rename(`${nodes[1]}-away`, nodes[1]!)
    // Somebody was writing when the organization was closed, and ends only now.
    if (cluster.database) {
      const late = new pg.Client({ connectionString: cluster.database.url })
      await late.connect()
      await late.query('BEGIN')
      await late.query(
        `INSERT INTO human (organization, email, label, folded_email, folded_label)
         SELECT _id, 'late', 'late', 'late', 'late' FROM organization WHERE organization_id = $1`,
        [id],
      )
      assert.equal((await call(client, again)).status, 503)
      await late.query('COMMIT')
      await late.end()
    }
    assert.deepEqual(await deleteAll(client, again), { status: 200, json: { is_deleted: true } })
    assert.equal((await call(client, again)).status, 404)
    assert.equal(await objectsOf(id), 0)
    assert.equal(await objectsOf(other.id), 6)
    if (cluster.database) await onlyOneIsLeft(cluster, other.id)
    assert.equal((await other.connection.cmd('ping', { ping: 'x' })).status, 'ok')
    const realm_id = new Uuid()
    const role_certificate = roleCertificate(other.alice, realm_id, 'alice', 'OWNER')
    await other.connection.ok('realm_create', { role_certificate })
    await client.createOrganization(id)
  })

/** What commands write that began before the organization was closed; each has the lock that its command has. */
const LATE: { readonly [command: string]: readonly string[] } = {
  vlob_maintenance_save_reencryption_batch: [
    'SELECT FROM realm WHERE organization = $1 FOR NO KEY UPDATE',
    `INSERT INTO vlob_atom (vlob, encryption_revision, version, blob, size, author, created_on)
     SELECT vlob, 2, atom.version, blob, size, author, created_on FROM vlob_atom atom JOIN vlob ON vlob._id = atom.vlob
     WHERE vlob.organization = $1`,
  ],
  vlob_update: [
    'SELECT FROM realm WHERE organization = $1 FOR NO KEY UPDATE',
    `INSERT INTO vlob_atom (vlob, encryption_revision, version, blob, size, author, created_on)
     SELECT vlob, 1, 2, blob, size, author, created_on FROM vlob_atom atom JOIN vlob ON vlob._id = atom.vlob
     WHERE vlob.organization = $1`,
    `INSERT INTO realm_change (realm, index, vlob, version, size)
     SELECT realm, 2, _id, 2, 100 FROM vlob WHERE organization = $1`,
    'UPDATE vlob SET version = 2, changed = 2 WHERE organization = $1',
  ],
  realm_update_archiving: [
    `SELECT pg_advisory_xact_lock(1380272461, _id::int) FROM (
       SELECT _id FROM realm WHERE organization = $1 FOR NO KEY UPDATE
     ) realm`,
    `INSERT INTO realm_archiving (realm, configuration, certificate, certifier, certified_on)
     SELECT realm._id, 'ARCHIVED', '', device._id, now() FROM realm JOIN device USING (organization)
     WHERE organization = $1 LIMIT 1`,
  ],
  realm_start_reencryption_maintenance: [
    `INSERT INTO message (recipient, index, sender, timestamp, body)
     SELECT _id, 99, 'alice@dev1', now(), '' FROM user_ WHERE organization = $1`,
    'UPDATE user_ SET message_count = 99 WHERE organization = $1',
  ],
}

test('whoever ends a command while the organization is deleted leaves nothing behind', async t => {
  const cluster = await Cluster.start({ topology: 'twins' })
  const client = clientOf(cluster)
  t.after(async () => {
    await client.end()
    await cluster.stop()
  })
  const other = await populated(client)
  for (const [command, statements] of Object.entries(LATE)) {
    const { id } = await populated(client)
    const path = `v2/organizations/${id}`
    const late = new pg.Client({ connectionString: cluster.database!.url })
    await late.connect()
    await late.query('BEGIN')
    const { rows } = await late.query('SELECT _id FROM organization WHERE organization_id = $1', [id])
    for (const statement of statements) await late.query(statement, [rows[0]._id])
    const deletion = deleteAll(client, `${path}?confirm=${(await call(client, path)).json['code']}`)
    await isAwaited(late)
    await late.query('COMMIT')
    await late.end()
    assert.deepEqual(await deletion, { status: 200, json: { is_deleted: true } }, command)
    await onlyOneIsLeft(cluster, other.id)
  }
})

/** Waits until somebody waits for what this session has locked. */
async function isAwaited(session: pg.Client): Promise<void> {
  for (;;) {
    const { rows } = await session.query(`
      SELECT FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))`)
    if (rows.length > 0) return
    await pause(20)
  }
}

/** Every table has rows of this organization only. */
async function onlyOneIsLeft({ database }: Cluster, organization_id: string): Promise<void> {
  const [{ key } = { key: '' }] = await database!.query<{ key: string }>(
    'SELECT _id AS key FROM organization WHERE organization_id = $1',
    [organization_id],
  )
  const selections = [...BELONGINGS.map(({ table, where }) => [table, where] as const), ...Object.entries(MADE_ANEW)]
  let rows = 0
  for (const [table, where] of selections) {
    const own = where.replaceAll('$organization', key).replaceAll('$name', organization_id)
    const [found] = await database!.query<{ all: number; own: number }>(
      `SELECT count(*)::int AS all, count(*) FILTER (WHERE ${own})::int AS own FROM ${table}`,
    )
    assert.equal(found!.all, found!.own, table)
    rows += found!.all
  }
  assert.ok(rows > 10)
}
