/** The product's main job, from an empty server to a file on another device, in both topologies. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { type Connection, clientOf, Device, eventually, refused, SigningKey, Time, Uuid } from '../harness/client.ts'
import { Cluster, type Topology } from '../harness/launch.ts'

const BLOCK_BYTES = 512 * 1024
const FILE_BYTES = 64 * 1024 * 1024
/** Transfers at once, as clients do. */
const PARALLEL = 4

for (const topology of ['single', 'cluster'] as const) {
  test(`from an administrator's first call to a file on another device (${topology})`, { timeout: 240_000 }, () =>
    mainFlow(topology),
  )
}

async function mainFlow(topology: Topology): Promise<void> {
  const cluster = await Cluster.start({ topology })
  const client = clientOf(cluster)
  try {
    // An organization by the administration API, bootstrapped over HTTP; another one over API v1.
    const { id, alice } = await client.org()
    const status = await client.admin('GET', `/organizations/${id}`)
    assert.equal((status.json as { is_bootstrapped: boolean }).is_bootstrapped, true)
    const veteran = await bootstrapOverApiV1(client)
    const oldest = await client.connect(veteran, { api: [1, 2] })
    assert.equal((await oldest.ok('user_get', { user_id: 'alice' })).device_certificates.length, 1)

    // A second device and two users; clients of four eras side by side.
    const laptop = await client.connect(alice, { api: [3, 2] })
    const phone = await client.device(laptop, alice)
    const bob = await client.user(laptop, alice, 'bob')
    const carl = await client.user(laptop, alice, 'carl', { profile: 'OUTSIDER' })
    const phoneEvents = await listen(client.connect(phone, { api: [3, 2] }))
    const bobOld = await client.connect(bob, { api: [1, 2] })
    const bobEvents = await listen(client.connect(bob, { api: [2, 2] }))
    const carlEvents = await listen(client.connect(carl, { api: [2, 8] }))

    // A shared realm. The owner's other device hears of it too.
    const realm_id = await client.realm(laptop, alice)
    await eventually(phoneEvents, e => e.event === 'realm.roles_updated' && e.role === 'OWNER')
    for (const [user_id, role] of [
      ['bob', 'CONTRIBUTOR'],
      ['carl', 'READER'],
    ] as const)
      assert.equal((await client.share(laptop, alice, realm_id, user_id, role)).status, 'ok')
    await eventually(bobEvents, e => e.event === 'message.received' && e.index === 1)
    await eventually(carlEvents, e => e.event === 'realm.roles_updated' && e.role === 'READER')

    // What the client of 1.2 writes, the one of 2.8 reads; what a reader may not do is refused.
    const note = await client.vlob(bobOld, realm_id)
    await eventually(carlEvents, e => e.event === 'realm.vlobs_updated' && note.vlob_id.equals(e.src_id))
    const carlSession = await client.connect(carl, { api: [2, 8] })
    const read = await carlSession.ok('vlob_read', {
      encryption_revision: 1,
      vlob_id: note.vlob_id,
      version: null,
      timestamp: null,
    })
    assert.ok(note.blob.equals(read.blob))
    assert.equal(read.author, bob.device_id)
    const refusal = await carlSession.cmd('vlob_update', {
      encryption_revision: 1,
      vlob_id: note.vlob_id,
      version: 2,
      timestamp: Time.now(),
      blob: randomBytes(10),
    })
    assert.equal(refusal.status, 'not_allowed')

    // A large file goes up in blocks, its manifest in versions, and comes down on the device that heard of it.
    const file = randomBytes(FILE_BYTES)
    const transfers = await Promise.all(Array.from({ length: PARALLEL }, () => client.connect(alice)))
    const { manifest, versions } = await upload(laptop, transfers, realm_id, file)
    const heard = await eventually(
      phoneEvents,
      e => e.event === 'realm.vlobs_updated' && manifest.equals(e.src_id) && e.src_version === versions,
      60_000,
    )
    const downloads = await Promise.all(Array.from({ length: PARALLEL }, () => client.connect(phone)))
    const copy = await download(downloads, new Uuid(heard.src_id.bytes), versions)
    assert.equal(copy.length, file.length)
    assert.equal(sha256(copy), sha256(file))
    const changes = await downloads[0]!.ok('vlob_poll_changes', { realm_id, last_checkpoint: 0 })
    assert.equal(changes.current_checkpoint, versions + 1)

    // A revoked user is out at once, on every connection.
    assert.equal((await client.revoke(laptop, alice, 'bob')).status, 'ok')
    await Promise.all([bobOld.untilClosed(), bobEvents.untilClosed()])
    await refused(client.connect(bob, { api: [2, 2] }), 'revoked_device')
    assert.ok(!carlEvents.closed && !phoneEvents.closed)
  } finally {
    await client.end()
    await cluster.stop()
  }
}

async function bootstrapOverApiV1(client: ReturnType<typeof clientOf>): Promise<Device> {
  const id = client.freshId()
  const root = new SigningKey()
  const bootstrap_token = await client.createOrganization(id)
  const device = new Device(id, root.verify, 'alice', 'dev1', { profile: 'ADMIN' })
  const anonymous = await client.open({ anonymous: { organization_id: id } })
  await anonymous.ok('organization_bootstrap', {
    bootstrap_token,
    root_verify_key: root.verify,
    ...device.certificates(null, root),
  })
  await anonymous.close()
  return device
}

async function listen(connecting: Promise<Connection>): Promise<Connection> {
  const connection = await connecting
  await connection.ok('events_subscribe')
  return connection
}

/** Writes a manifest version for each quarter of the file, so that the last one names every block. */
async function upload(owner: Connection, transfers: readonly Connection[], realm_id: Uuid, file: Buffer) {
  const manifest = new Uuid()
  const blocks: string[] = []
  const quarter = file.length / 4
  for (const [version, start] of [0, 1, 2, 3].map(i => [i + 1, i * quarter] as const)) {
    const parts = Array.from({ length: quarter / BLOCK_BYTES }, (_, i) => ({
      block_id: new Uuid(),
      block: file.subarray(start + i * BLOCK_BYTES, start + (i + 1) * BLOCK_BYTES),
    }))
    await eachAtOnce(transfers, parts, (transfer, part) => transfer.ok('block_create', { realm_id, ...part }))
    blocks.push(...parts.map(part => part.block_id.toString()))
    const content = {
      encryption_revision: 1,
      vlob_id: manifest,
      timestamp: Time.now(),
      blob: Buffer.from(blocks.join()),
    }
    if (version === 1) await owner.ok('vlob_create', { realm_id, ...content })
    else await owner.ok('vlob_update', { version, ...content })
  }
  return { manifest, versions: 4 }
}

async function download(transfers: readonly Connection[], manifest: Uuid, version: number): Promise<Buffer> {
  const { blob } = await transfers[0]!.ok('vlob_read', {
    encryption_revision: 1,
    vlob_id: manifest,
    version,
    timestamp: null,
  })
  const ids = Buffer.from(blob).toString().split(',')
  const blocks = new Map<string, Buffer>()
  await eachAtOnce(transfers, ids, async (transfer, id) => {
    const { block } = await transfer.ok('block_read', { block_id: new Uuid(id) })
    blocks.set(id, Buffer.from(block))
  })
  return Buffer.concat(ids.map(id => blocks.get(id)!))
}

async function eachAtOnce<T>(
  connections: readonly Connection[],
  items: readonly T[],
  work: (connection: Connection, item: T) => Promise<unknown>,
): Promise<void> {
  const queue = [...items]
  await Promise.all(
    connections.map(async connection => {
      for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(connection, item)
    }),
  )
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
