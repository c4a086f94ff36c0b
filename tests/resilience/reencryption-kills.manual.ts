/**
 * A realm is encrypted anew round after round by two devices of one owner and by another owner, while members write, read
 * and poll there and elsewhere, and in each round processes are killed, or the database ends its sessions, at a random
 * moment. After each round every version has one copy per revision, the figures agree with the rows, and whatever a client
 * was told `ok` for is there. By hand:
 *
 *   ROUNDS=100 node --conditions=development --test tests/resilience/reencryption-kills.manual.ts
 */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { type Context, clientOf, type Device, type Reply, Time, Uuid } from '../harness/client.ts'
import { Cluster, type Topology } from '../harness/launch.ts'

const ROUNDS = Number(process.env['ROUNDS'] ?? 20)
const VLOBS = 40
const FIRST_VERSIONS = 5
const BATCH = 25
const RECONNECT_MS = 20
/** Between two versions of a writer, so that a round does not become longer each time. */
const WRITE_EVERY_MS = 50
const COMMAND_MS = 20_000
/** A round that takes longer hangs: commands may be late several times, restarts take seconds. */
const ROUND_MS = 90_000
/** When of a round the fault comes: it takes about as long. */
const FAULT_WITHIN_MS = 1_500

type Vlob = { readonly vlob_id: Uuid; readonly realm_id: Uuid; acknowledged: number }
type World = {
  readonly cluster: Cluster
  readonly over: AbortSignal
  readonly realm_id: Uuid
  readonly vlobs: Vlob[]
  revision: number
}
type Fault = (cluster: Cluster) => Promise<void>

const terminate: Fault = async cluster =>
  void (await cluster.database!.query(
    'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
  ))
const kill =
  (...names: readonly string[]): Fault =>
  cluster =>
    cluster.process(names[Math.floor(Math.random() * names.length)]!).restart('SIGKILL')

const faults: { readonly name: string; readonly topology: Topology; readonly fault: Fault }[] = [
  { name: 'servers are killed', topology: 'twins', fault: kill('server-1', 'server-2') },
  { name: 'the database ends its sessions', topology: 'twins', fault: terminate },
  { name: 'metadata services are killed', topology: 'pairs', fault: kill('metadata-1', 'metadata-2') },
]
for (const { name, topology, fault } of faults)
  test(`${ROUNDS} re-encryptions while ${name}`, { timeout: ROUNDS * ROUND_MS }, t => run(t, topology, fault))

async function run(t: TestContext, topology: Topology, fault: Fault): Promise<void> {
  const cluster = await Cluster.start({ topology })
  const entrances = [...cluster.processes.values()].filter(({ name }) => /^(?:gateway|server)-/.test(name))
  const clients = entrances.map(({ url }) => clientOf(cluster, url))
  const over = new AbortController()
  try {
    const client = clientOf(cluster)
    const { id, alice } = await client.org()
    const connection = await client.connect(alice)
    const [laptop, bob, carol] = [
      await client.device(connection, alice),
      await client.user(connection, alice, 'bob'),
      await client.user(connection, alice, 'carol'),
    ]
    const realm_id = await client.realm(connection, alice)
    const elsewhere = await client.realm(connection, alice)
    for (const realm of [realm_id, elsewhere]) {
      await client.share(connection, alice, realm, 'bob', 'OWNER')
      await client.share(connection, alice, realm, 'carol', 'CONTRIBUTOR')
    }
    const vlobs = Array.from({ length: VLOBS }, (_, i): Vlob => {
      return { vlob_id: new Uuid(), realm_id: i % 4 === 3 ? elsewhere : realm_id, acknowledged: 0 }
    })
    const world: World = { cluster, over: over.signal, realm_id, vlobs, revision: 1 }
    const link = (device: Device) => new Link(world, clients, device)
    const first = link(carol)
    for (const vlob of vlobs) for (let n = 0; n < FIRST_VERSIONS; n++) await write(world, first, vlob)
    const busy = [
      writing(world, link(carol), vlobs.slice(0, VLOBS / 2)),
      writing(world, link(bob), vlobs.slice(VLOBS / 2)),
      reading(world, link(carol)),
      polling(world, link(bob)),
    ]
    const owners = [link(alice), link(laptop), link(bob)]
    const tally = { faulty: 0 }
    for (let round = 1; round <= ROUNDS; round++) {
      const revision = round + 1
      const participants = ['alice', 'bob', 'carol']
      const befalling = pause(Math.random() * FAULT_WITHIN_MS).then(() => fault(cluster))
      await within(
        ROUND_MS,
        `round ${round}`,
        Promise.all(owners.map(o => encryptAnew(world, o, revision, participants))),
      )
      await befalling
      world.revision = revision
      await checkRealm(world, revision, participants)
      tally.faulty++
    }
    over.abort()
    await within(ROUND_MS, 'the end', Promise.all(busy))
    await checkAcknowledged(world, link(alice))
    await checkFigures(world, id, link(alice))
    const written = vlobs.reduce((sum, { acknowledged }) => sum + acknowledged, 0)
    t.diagnostic(`${written} versions, revision ${world.revision}`)
  } catch (error) {
    throw new Error(`${error}\n${cluster.output}`, { cause: error })
  } finally {
    over.abort()
    await Promise.all(clients.map(client => client.end()))
    await cluster.stop()
  }
}

/** Asks until there is an answer, on whichever connection. */
class Link {
  readonly world: World
  readonly clients: readonly Context[]
  readonly device: Device
  #connection: Awaited<ReturnType<Context['connect']>> | undefined

  constructor(world: World, clients: readonly Context[], device: Device) {
    this.world = world
    this.clients = clients
    this.device = device
  }
  /** `isAgain`: an earlier attempt may have been done. */
  async ask(cmd: string, fields: { [field: string]: unknown }): Promise<Reply & { isAgain: boolean }> {
    for (let isAgain = false; ; ) {
      try {
        this.#connection ??= await this.clients[Math.floor(Math.random() * this.clients.length)]!.connect(this.device)
        const reply = await this.#connection.cmd(cmd, fields, COMMAND_MS)
        return { ...reply, isAgain }
      } catch (error) {
        if (/no message within/.test(`${error}`)) throw new Error(`${cmd}: ${error}`, { cause: error })
        if (this.#connection) isAgain = true
        this.#connection = undefined
        await pause(RECONNECT_MS)
      }
    }
  }
}

const blobOf = (vlob: Vlob, version: number, revision: number): Buffer =>
  Buffer.from(`${vlob.vlob_id} ${version} ${revision} `.padEnd(200 + (version % 7), '.'))

/** One version more, whatever the revision is. */
async function write(world: World, link: Link, vlob: Vlob): Promise<void> {
  const version = vlob.acknowledged + 1
  for (;;) {
    const encryption_revision = await revisionOf(link, vlob.realm_id)
    if (encryption_revision === undefined) {
      if (world.over.aborted) return
      await pause(RECONNECT_MS)
      continue
    }
    const content = {
      encryption_revision,
      vlob_id: vlob.vlob_id,
      timestamp: Time.now(),
      blob: blobOf(vlob, version, encryption_revision),
    }
    const reply = await (version === 1
      ? link.ask('vlob_create', { realm_id: vlob.realm_id, ...content })
      : link.ask('vlob_update', { version, ...content }))
    if (reply.status === 'in_maintenance' || reply.status === 'bad_encryption_revision') {
      // Also where an attempt was done whose reply was lost: then the version is there at the next one.
      if (world.over.aborted) return
      continue
    }
    // A version that an attempt wrote before the revision changed is found by the next.
    assert.ok(
      reply.status === 'ok' || reply.status === 'bad_version' || reply.status === 'already_exists',
      `version ${version} of ${vlob.vlob_id}: ${reply.status}`,
    )
    vlob.acknowledged = version
    return
  }
}
async function revisionOf(link: Link, realm_id: Uuid): Promise<number | undefined> {
  const status = await link.ask('realm_status', { realm_id })
  assert.equal(status.status, 'ok')
  return status['in_maintenance'] ? undefined : (status['encryption_revision'] as number)
}

async function writing(world: World, link: Link, vlobs: readonly Vlob[]): Promise<void> {
  for (let n = 0; !world.over.aborted; n++) {
    await write(world, link, vlobs[n % vlobs.length]!)
    await pause(WRITE_EVERY_MS)
  }
}

async function reading(world: World, link: Link): Promise<void> {
  for (let n = 0; !world.over.aborted; n++) {
    const vlob = world.vlobs[n % world.vlobs.length]!
    const status = await link.ask('realm_status', { realm_id: vlob.realm_id })
    const encryption_revision = (status['encryption_revision'] as number) - (status['in_maintenance'] ? 1 : 0)
    const { acknowledged: version } = vlob
    const reply = await link.ask('vlob_read', { encryption_revision, vlob_id: vlob.vlob_id, version, timestamp: null })
    if (reply.status === 'bad_encryption_revision') continue
    assert.equal(reply.status, 'ok', `read ${version} of ${vlob.vlob_id} at ${encryption_revision}: ${reply.status}`)
    assert.ok(blobOf(vlob, version, encryption_revision).equals(reply['blob'] as Uint8Array))
  }
}

async function polling(world: World, link: Link): Promise<void> {
  const { realm_id } = world
  for (let last_checkpoint = 0; !world.over.aborted; ) {
    const reply = await link.ask('vlob_poll_changes', { realm_id, last_checkpoint })
    assert.equal(reply.status, 'ok')
    const current = reply['current_checkpoint'] as number
    assert.ok(current >= last_checkpoint, 'the checkpoint went back')
    last_checkpoint = current
    await pause(5)
  }
}

/** What each owner does until the realm has that revision: starts, saves what there is, finishes. */
async function encryptAnew(
  world: World,
  link: Link,
  encryption_revision: number,
  participants: readonly string[],
): Promise<void> {
  const { realm_id } = world
  const per_participant_message = Object.fromEntries(
    participants.map(user => [user, Buffer.from(`${encryption_revision}`)]),
  )
  const started = await link.ask('realm_start_reencryption_maintenance', {
    realm_id,
    encryption_revision,
    timestamp: Time.now(),
    per_participant_message,
  })
  assert.ok(['ok', 'in_maintenance', 'bad_encryption_revision'].includes(started.status), `start: ${started.status}`)
  const request = { realm_id, encryption_revision }
  for (;;) {
    const found = await link.ask('vlob_maintenance_get_reencryption_batch', { ...request, size: BATCH })
    if (found.status === 'not_in_maintenance') return
    assert.equal(found.status, 'ok')
    const batch = (found['batch'] as { vlob_id: Uuid; version: number; blob: Uint8Array }[]).map(item => {
      const [id, version, revision] = Buffer.from(item.blob).toString().split(' ')
      assert.deepEqual([id, version, revision], [`${item.vlob_id}`, `${item.version}`, `${encryption_revision - 1}`])
      const vlob = world.vlobs.find(({ vlob_id }) => vlob_id.equals(item.vlob_id))!
      return { ...item, blob: blobOf(vlob, item.version, encryption_revision) }
    })
    const saved = await link.ask('vlob_maintenance_save_reencryption_batch', { ...request, batch })
    if (saved.status === 'not_in_maintenance') return
    assert.equal(saved.status, 'ok')
    assert.ok((saved['done'] as number) <= (saved['total'] as number), 'more is done than there is')
    if (saved['done'] !== saved['total']) {
      assert.ok(batch.length > 0, `no work, but ${saved['done']} of ${saved['total']} is done`)
      continue
    }
    const finished = await link.ask('realm_finish_reencryption_maintenance', request)
    if (finished.status === 'ok' || finished.status === 'not_in_maintenance') return
    assert.fail(`finish: ${finished.status}`)
  }
}

async function checkRealm({ cluster, realm_id }: World, revision: number, users: readonly string[]): Promise<void> {
  const [realm] = await cluster.database!.query<{ [column: string]: number | string | null }>(
    `SELECT realm._id::int, encryption_revision::int, maintenance_type, maintenance_started_by, reencrypted::int FROM realm
     WHERE realm_id = $1`,
    [`${realm_id}`],
  )
  const { _id, reencrypted, ...state } = realm!
  assert.deepEqual(state, { encryption_revision: revision, maintenance_type: null, maintenance_started_by: null })
  const copies = await cluster.database!.query<{
    vlob: string
    version: string
    first: number
    last: number
    n: number
  }>(
    `SELECT vlob, atom.version, min(encryption_revision)::int AS first, max(encryption_revision)::int AS last, count(*)::int AS n
     FROM vlob_atom atom JOIN vlob ON vlob._id = atom.vlob WHERE vlob.realm = $1 GROUP BY vlob, atom.version`,
    [_id],
  )
  for (const { vlob, version, first, last, n } of copies)
    assert.ok(
      last === revision && n === last - first + 1,
      `vlob ${vlob} ${version}: ${n} copies from ${first} to ${last}`,
    )
  const before = await cluster.database!.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM vlob_atom atom JOIN vlob ON vlob._id = atom.vlob
     WHERE vlob.realm = $1 AND encryption_revision = $2`,
    [_id, revision - 1],
  )
  assert.equal(reencrypted, before[0]!.n, 'versions that were saved')
  const messages = await cluster.database!.query<{ user_id: string; n: number; told: number }>(
    `SELECT user_id, count(*) FILTER (WHERE body = $1)::int AS n, max(index)::int - count(*)::int AS told
     FROM message JOIN user_ ON user_._id = recipient GROUP BY user_id ORDER BY user_id`,
    [Buffer.from(`${revision}`)],
  )
  assert.deepEqual(
    messages,
    users.map(user_id => ({ user_id, n: 1, told: 0 })),
  )
}

async function checkAcknowledged({ cluster, vlobs }: World, link: Link): Promise<void> {
  for (const vlob of vlobs) {
    const encryption_revision = (await revisionOf(link, vlob.realm_id))!
    for (let version = 1; version <= vlob.acknowledged; version++) {
      const { vlob_id } = vlob
      const reply = await link.ask('vlob_read', { encryption_revision, vlob_id, version, timestamp: null })
      assert.equal(reply.status, 'ok', `version ${version} of ${vlob_id}`)
      assert.ok(blobOf(vlob, version, encryption_revision).equals(reply['blob'] as Uint8Array))
    }
  }
  const gaps = await cluster.database!.query(`
    SELECT realm._id FROM realm JOIN realm_change change ON change.realm = realm._id GROUP BY realm._id
    HAVING max(index) <> count(*) OR min(index) <> 1 OR realm.checkpoint <> count(*)`)
  assert.deepEqual(gaps, [], 'realms with gaps')
}

async function checkFigures({ cluster }: World, organization_id: string, link: Link): Promise<void> {
  const wrong = await cluster.database!.query(`
    SELECT realm._id, vlobs_size, copies_size, sum(atom.size) FROM realm
    JOIN vlob ON vlob.realm = realm._id JOIN vlob_atom atom ON atom.vlob = vlob._id
    GROUP BY realm._id HAVING sum(atom.size) <> vlobs_size + copies_size`)
  assert.deepEqual(wrong, [], 'realms whose sizes are wrong')
  const [stored] = await cluster.database!.query<{ bytes: number }>('SELECT sum(size)::int AS bytes FROM vlob_atom')
  const stats = await link.ask('organization_stats', {})
  assert.equal(stats['metadata_size'], stored!.bytes, organization_id)
}

async function within<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  const over = new AbortController()
  const late = pause(ms, undefined, { signal: over.signal }).then(() => {
    throw new Error(`${what} never came to an end`)
  })
  late.catch(() => {})
  try {
    return await Promise.race([work, late])
  } finally {
    over.abort()
  }
}
