/**
 * Under load one metadata replica and one gateway are killed. Whatever a client was told `ok` for must be there, exactly
 * once and without gaps, and no subscriber may miss an event on a connection that stayed open.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { type Connection, clientOf, type Device, Time, Uuid } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'

const WORKERS = 200
const COMMANDS_EACH = 100
/** Every so many commands one adds a block, the others a version. */
const BLOCK_EVERY = 4
const REALMS = 8
/** Workers in the first realm: its subscribers can keep up on the busiest machine. */
const QUIET_WORKERS = 4
const SUBSCRIBERS_PER_REALM = 2
const KILL_METADATA_AFTER = 6_000
const KILL_GATEWAY_AFTER = 12_000
/** A client's pause before it connects again. */
const RECONNECT_MS = 50
const SETTLE_DEADLINE_MS = 60_000

type World = { cluster: Cluster; client: ReturnType<typeof clientOf> }
type Worker = {
  device: Device
  realm_id: Uuid
  vlob_id: Uuid
  /** Blobs that were acknowledged, by version − 1. */
  blobs: Buffer[]
  blocks: { block_id: Uuid; block: Buffer }[]
}
type Subscriber = { connection: Connection; realm_id: Uuid; heard: Map<number, number>; lost: boolean }

test('a metadata replica and a gateway are killed under load: nothing acknowledged is lost', {
  timeout: 400_000,
}, async () => {
  const cluster = await Cluster.start({ topology: 'cluster' })
  const client = clientOf(cluster)
  try {
    const { workers, subscribers } = await prepare({ cluster, client })
    const progress = { done: 0 }
    const killing = killAt(cluster, progress)
    await Promise.all(workers.map(worker => work({ cluster, client }, worker, progress)))
    await killing
    assert.equal(progress.done, WORKERS * COMMANDS_EACH)

    await nothingLost(cluster, workers)
    await noGaps(cluster)
    await everythingHeard(cluster, subscribers)
    await until('the outbox is empty', async () => (await cluster.database!.query('SELECT FROM outbox')).length === 0)
  } catch (error) {
    throw new Error(`${error}\n${cluster.output}`, { cause: error })
  } finally {
    await client.end()
    await cluster.stop()
  }
})

async function prepare({ client }: World): Promise<{ workers: Worker[]; subscribers: Subscriber[] }> {
  const { alice } = await client.org()
  const owner = await client.connect(alice)
  const realms = await Promise.all(Array.from({ length: REALMS }, () => client.realm(owner, alice)))
  const subscribers: Subscriber[] = []
  for (const realm_id of realms)
    for (let i = 0; i < SUBSCRIBERS_PER_REALM; i++) {
      const device = await readerOf(client, owner, alice, realm_id, subscribers.length)
      const connection = await client.connect(device)
      await connection.ok('events_subscribe')
      const subscriber: Subscriber = { connection, realm_id, heard: new Map(), lost: false }
      void record(subscriber)
      subscribers.push(subscriber)
    }
  const workers = Array.from({ length: WORKERS }, (_, i) => ({
    device: alice,
    realm_id: realms[i < QUIET_WORKERS ? 0 : 1 + (i % (REALMS - 1))]!,
    vlob_id: new Uuid(),
    blobs: [],
    blocks: [],
  }))
  return { workers, subscribers }
}

async function readerOf(
  client: World['client'],
  owner: Connection,
  alice: Device,
  realm_id: Uuid,
  i: number,
): Promise<Device> {
  const device = await client.user(owner, alice, `reader${i}`)
  assert.equal((await client.share(owner, alice, realm_id, `reader${i}`, 'READER')).status, 'ok')
  return device
}

/** Notes each change that the subscriber is told of, until its connection ends. */
async function record(subscriber: Subscriber): Promise<void> {
  try {
    for (;;) {
      const event = await subscriber.connection.event(SETTLE_DEADLINE_MS * 5)
      if (event.event === 'realm.vlobs_updated')
        subscriber.heard.set(event.checkpoint, (subscriber.heard.get(event.checkpoint) ?? 0) + 1)
    }
  } catch {
    subscriber.lost = true
  }
}

async function killAt(cluster: Cluster, progress: { done: number }): Promise<void> {
  await until('the load runs', async () => progress.done >= KILL_METADATA_AFTER)
  cluster.process('metadata-1').signal('SIGKILL')
  await until('the load goes on', async () => progress.done >= KILL_GATEWAY_AFTER)
  cluster.process('gateway-1').signal('SIGKILL')
}

/** A client: one command after another, each tried again on a new connection until it is answered. */
async function work({ client }: World, worker: Worker, progress: { done: number }): Promise<void> {
  const link: { connection?: Connection } = {}
  for (let n = 0; n < COMMANDS_EACH; n++) {
    if (n % BLOCK_EVERY === BLOCK_EVERY - 1) await addBlock(client, worker, link)
    else await addVersion(client, worker, link)
    progress.done++
  }
}

async function addBlock(client: World['client'], worker: Worker, link: { connection?: Connection }): Promise<void> {
  const [block_id, block] = [new Uuid(), randomBytes(200)]
  const reply = await persist(client, worker, link, c =>
    c.cmd('block_create', { block_id, realm_id: worker.realm_id, block }),
  )
  assert.ok(reply.status === 'ok' || reply.status === 'already_exists', JSON.stringify(reply))
  worker.blocks.push({ block_id, block })
}

async function addVersion(client: World['client'], worker: Worker, link: { connection?: Connection }): Promise<void> {
  const { realm_id, vlob_id } = worker
  const version = worker.blobs.length + 1
  const fields = { encryption_revision: 1, vlob_id, timestamp: Time.now(), blob: randomBytes(100) }
  const reply = await persist(client, worker, link, c =>
    version === 1 ? c.cmd('vlob_create', { realm_id, ...fields }) : c.cmd('vlob_update', { version, ...fields }),
  )
  // A reply that was lost: the retry finds its own version there.
  if (reply.status === 'bad_version' || reply.status === 'already_exists') {
    const there = await persist(client, worker, link, c =>
      c.cmd('vlob_read', { encryption_revision: 1, vlob_id, version, timestamp: null }),
    )
    assert.ok(there.status === 'ok' && fields.blob.equals(there.blob), `version ${version}: ${reply.status}`)
  } else assert.equal(reply.status, 'ok')
  worker.blobs.push(fields.blob)
}

async function persist(
  client: World['client'],
  worker: Worker,
  link: { connection?: Connection },
  command: (connection: Connection) => ReturnType<Connection['cmd']>,
): ReturnType<Connection['cmd']> {
  for (;;) {
    try {
      link.connection ??= await client.connect(worker.device)
      const reply = await command(link.connection)
      if (reply.status !== 'timeout') return reply
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error
      delete link.connection
    }
    await pause(RECONNECT_MS)
  }
}

async function nothingLost(cluster: Cluster, workers: readonly Worker[]): Promise<void> {
  const atoms = await cluster.database!.query<{ vlob_id: string; version: string; blob: Buffer }>(`
    SELECT replace(vlob.vlob_id::text, '-', '') AS vlob_id, atom.version, atom.blob
    FROM vlob_atom atom JOIN vlob ON vlob._id = atom.vlob`)
  const stored = new Map(atoms.map(atom => [`${atom.vlob_id} ${atom.version}`, atom.blob]))
  for (const { vlob_id, blobs } of workers)
    for (const [i, blob] of blobs.entries())
      assert.ok(stored.get(`${vlob_id} ${i + 1}`)?.equals(blob), `version ${i + 1} of ${vlob_id}`)
  assert.equal(
    stored.size,
    workers.reduce((sum, worker) => sum + worker.blobs.length, 0),
    'versions that nobody was told of',
  )
  const blocks = await cluster.database!.query<{ block_id: string; data: Buffer }>(`
    SELECT replace(block.block_id::text, '-', '') AS block_id, data FROM block JOIN block_data USING (block_id)`)
  const data = new Map(blocks.map(block => [block.block_id, block.data]))
  for (const worker of workers)
    for (const { block_id, block } of worker.blocks)
      assert.ok(data.get(`${block_id}`)?.equals(block), `block ${block_id}`)
}

async function noGaps(cluster: Cluster): Promise<void> {
  const realms = await cluster.database!.query<{ first: string; last: string; count: string; checkpoint: string }>(`
    SELECT min(index) AS first, max(index) AS last, count(*) AS count, realm.checkpoint
    FROM realm_change JOIN realm ON realm._id = realm_change.realm GROUP BY realm._id`)
  assert.equal(realms.length, REALMS)
  for (const { first, last, count, checkpoint } of realms)
    assert.deepEqual([first, last, count], ['1', checkpoint, checkpoint])
  const vlobs = await cluster.database!.query<{ last: string; count: string; version: string }>(`
    SELECT max(atom.version) AS last, count(*) AS count, vlob.version
    FROM vlob_atom atom JOIN vlob ON vlob._id = atom.vlob GROUP BY vlob._id`)
  for (const { last, count, version } of vlobs) assert.deepEqual([last, count], [version, version])
}

async function everythingHeard(cluster: Cluster, subscribers: readonly Subscriber[]): Promise<void> {
  const realms = await cluster.database!.query<{ realm_id: string; checkpoint: string }>(
    `SELECT replace(realm_id::text, '-', '') AS realm_id, checkpoint FROM realm`,
  )
  const changes = new Map(realms.map(realm => [realm.realm_id, Number(realm.checkpoint)]))
  const isDone = (s: Subscriber) => s.lost || s.heard.size === changes.get(`${s.realm_id}`)
  await until('every open subscriber has heard every change', async () => subscribers.every(isDone)).catch(error => {
    const missing = subscribers.map(s => `${s.lost ? 'lost' : 'open'} ${s.heard.size}/${changes.get(`${s.realm_id}`)}`)
    throw new Error(`${error.message}: ${missing}`)
  })
  const open = subscribers.filter(s => !s.lost)
  assert.ok(open.length > 0, 'every subscriber lost its connection')
  for (const s of open)
    assert.ok(
      [...s.heard.values()].every(times => times === 1),
      'an event was told twice',
    )
}

async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + SETTLE_DEADLINE_MS * 3
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`never came true: ${what}`)
    await pause(100)
  }
}
