/**
 * Uploads of the same block that meet: a client encrypts it anew for each, and chunks of two uploads make no block. In a
 * RAID5 every read shows whether they have been mixed.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { newScrub, outcomeOf } from '@parsec/blockstore/scrub/state'
import type { StoreConfig } from '@parsec/blockstore/stores/registry'
import { Uuid } from '@parsec/shared/codec/values'
import pg from 'pg'
import { type Connection, clientOf, Uuid as WireUuid } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'
import { startBackEnds } from './back-ends.ts'
import { FaultProxy } from './fault-proxy.ts'
import { optionsOf, ScrubWorld } from './scrub-world.ts'
import { TestService } from './service.ts'

const BLOCK_BYTES = 5_000
const POLL_MS = 25
const DEADLINE_MS = 30_000
const SLOW_MS = 1_500

const folder = await mkdtemp(join(tmpdir(), 'parsec-uploads-'))
const backEnds = await startBackEnds(`uploads-${randomBytes(6).toString('hex')}`)
const s3 = await FaultProxy.start(backEnds.s3.url)
after(async () => {
  await s3.close()
  await backEnds.stop()
  await rm(folder, { recursive: true, force: true })
})

test('on one store, too, an upload waits for the one before, even if that was given up', async t => {
  const store = backEnds.s3.store(s3.url)
  const service = await TestService.start({ store })
  const hasty = await TestService.start({ store }, { storeDeadlineMs: SLOW_MS })
  t.after(() => Promise.all([service.stop(), hasty.stop()]))
  const [together, again] = [Uuid.random(), Uuid.random()]
  const both = [randomBytes(BLOCK_BYTES), randomBytes(BLOCK_BYTES)] as const
  s3.next('PUT', { kind: 'latency', ms: SLOW_MS / 2 })
  const statuses = (await Promise.all(both.map(block => service.create(together, block)))).map(({ status }) => status)
  assert.deepEqual(statuses.toSorted(), ['already_exists', 'ok'])
  await service.holds(together, both[statuses.indexOf('ok')]!)

  s3.next('PUT', { kind: 'latency', ms: 2 * SLOW_MS })
  const block = randomBytes(BLOCK_BYTES)
  assert.equal((await hasty.create(again, randomBytes(BLOCK_BYTES))).status, 'timeout')
  while ((await hasty.create(again, block)).status !== 'ok');
  // What was given up would have come by now.
  await pause(SLOW_MS)
  await hasty.holds(again, block)
})

test('a node that missed an upload is not read until a scrub has repaired it, whatever it holds', async t => {
  const world = await ScrubWorld.open()
  t.after(() => world.close())
  const directories = ['a', 'b', 'c'].map(name => join(folder, name))
  for (const directory of directories) await mkdir(directory)
  const store: StoreConfig = {
    type: 'RAID5',
    nodes: directories.map(directory => ({ type: 'FILE', directory }) as const),
  }
  const service = await TestService.start({ store, raidDegradedWrites: true })
  t.after(() => service.stop())
  // Nobody hears of its uploads: like those of a server that died before it could commit them.
  const doomed = await TestService.start({ store }, {}, service.organization_id)
  t.after(() => doomed.stop())
  const away = async (directory: string, body: () => Promise<void>) => {
    await rename(directory, `${directory}.away`)
    await body()
    await rename(`${directory}.away`, directory)
  }
  const blocks = new Map<Uuid, Buffer>()
  for (const missed of directories) {
    const [block_id, block] = [Uuid.random(), randomBytes(BLOCK_BYTES)]
    await doomed.stores(block_id, randomBytes(BLOCK_BYTES))
    await away(missed, async () => assert.equal((await service.create(block_id, block)).status, 'ok'))
    await service.holds(block_id, block)
    blocks.set(block_id, block)
  }
  await world.register(
    service.organization_id,
    [...blocks].map(([block_id, block]) => [block_id, block.length, service.missed.get(block_id.hex)!] as const),
  )
  const undamaged = [Uuid.random(), randomBytes(BLOCK_BYTES)] as const
  await service.stores(...undamaged)
  await world.register(service.organization_id, [[undamaged[0], BLOCK_BYTES, []]])

  const told = await world.scrubHere(store, { isDegraded: true })
  assert.deepEqual([told.state.blocks, told.state.counts.corrupt, told.state.objects], [3, 3, 0])
  const { end } = await world.scrub(store, '--repair', '--degraded')
  assert.deepEqual([end['blocks'], end['corrupt'], end['repaired'], end['damaged']], [3, 3, 3, 0])
  const again = await world.scrubHere(store, { isDegraded: true, state: newScrub() })
  assert.equal(again.state.blocks, 0)
  assert.equal(outcomeOf((await world.scrubHere(store)).state), 'clean')

  service.missed.clear()
  for (const directory of directories)
    await away(directory, async () => {
      for (const [block_id, block] of blocks) await service.holds(block_id, block)
    })
})

test('of two uploads of a block at once, on different replicas too, the second waits for the first', async () => {
  const directories = ['d', 'e'].map(name => join(folder, name))
  for (const directory of directories) await mkdir(directory)
  const [first, ...others] = optionsOf({
    type: 'RAID5',
    nodes: [backEnds.s3.store(s3.url), ...directories.map(directory => ({ type: 'FILE', directory }) as const)],
  })
  const cluster = await Cluster.start({
    topology: 'shared',
    blockstore: first!.slice('--blockstore='.length),
    flags: others,
  })
  const clients = [clientOf(cluster), clientOf(cluster), clientOf(cluster)]
  try {
    const [client] = clients
    const { alice } = await client!.org()
    const connections = await Promise.all(clients.map(each => each.connect(alice)))
    const realm_id = await client!.realm(connections[0]!, alice)
    for (let round = 0; round < 2; round++) {
      const block_id = new WireUuid(Uuid.random().hex)
      const uploads = connections.map(() => randomBytes(BLOCK_BYTES))
      let writes = 0
      s3.fault = ({ method }) => (method === 'PUT' && writes++ === 0 ? { kind: 'latency', ms: SLOW_MS } : undefined)
      const replies = await Promise.all(
        connections.map((connection, i) => connection.cmd('block_create', { block_id, realm_id, block: uploads[i]! })),
      )
      const statuses = replies.map(({ status }) => status)
      assert.deepEqual(statuses.toSorted(), ['already_exists', 'already_exists', 'ok'])
      const { status, block } = await connections[0]!.cmd('block_read', { block_id })
      assert.equal(status, 'ok')
      assert.ok(uploads[statuses.indexOf('ok')]!.equals(block), 'chunks of several uploads')
    }
    await createsNothingOverACommit(cluster, s3, connections[0]!, realm_id)
    await createsOverAReservationFromTheFuture(cluster, connections[0]!, realm_id)
    await createsNothingThatOthersTookOver(cluster, connections[0]!, realm_id)
    await givesBackWhatFailed(cluster, s3, connections[0]!, realm_id)
  } finally {
    for (const client of clients) await client.end()
    await cluster.stop()
  }
})

/** The upload whose reservation is waited for commits the block at that moment: whoever comes next finds it there. */
async function createsNothingOverACommit(
  cluster: Cluster,
  s3: FaultProxy,
  connection: Connection,
  realm_id: WireUuid,
): Promise<void> {
  const block_id = Uuid.random().hyphenated
  const first = new pg.Client({ connectionString: cluster.database!.url })
  await first.connect()
  try {
    const realm = 'SELECT organization, _id FROM realm WHERE realm_id = $2'
    await first.query(
      `INSERT INTO block_upload (organization, block_id, upload, expires_on)
       SELECT organization, $1, gen_random_uuid(), now() + interval '1 minute' FROM (${realm}) AS realm`,
      [block_id, realm_id.toString()],
    )
    await first.query('BEGIN')
    await first.query('DELETE FROM block_upload WHERE block_id = $1', [block_id])
    await first.query(
      `INSERT INTO block (organization, block_id, realm, author, size, created_on)
       SELECT organization, $1, _id, (SELECT min(_id) FROM device), 1, now() FROM (${realm}) AS realm`,
      [block_id, realm_id.toString()],
    )
    let writes = 0
    s3.fault = ({ method }) => {
      if (method === 'PUT') writes++
      return undefined
    }
    const second = connection.cmd('block_create', {
      block_id: new WireUuid(block_id),
      realm_id,
      block: randomBytes(BLOCK_BYTES),
    })
    for (const end = performance.now() + DEADLINE_MS; !(await isAwaited(cluster)); await pause(POLL_MS))
      assert.ok(performance.now() < end, 'nobody waits for the reservation')
    await first.query('COMMIT')
    assert.equal((await second).status, 'already_exists')
    assert.equal(writes, 0)
  } finally {
    await first.end()
  }
}

/** The clock of the database was ahead when the upload reserved the block that nobody will end any more. */
async function createsOverAReservationFromTheFuture(
  { database }: Cluster,
  connection: Connection,
  realm_id: WireUuid,
): Promise<void> {
  const block_id = new WireUuid(Uuid.random().hyphenated)
  await database!.query(
    `INSERT INTO block_upload (organization, block_id, upload, expires_on)
     SELECT organization, $1, gen_random_uuid(), now() + interval '1 hour' FROM realm WHERE realm_id = $2`,
    [block_id.toString(), realm_id.toString()],
  )
  const block = randomBytes(BLOCK_BYTES)
  assert.equal((await connection.cmd('block_create', { block_id, realm_id, block })).status, 'ok')
}

const rowsOf = ({ database }: Cluster, table: 'block' | 'block_upload', block_id: WireUuid) =>
  database!.query(`SELECT FROM ${table} WHERE block_id = $1`, [block_id.toString()])

/** Its reservation ran out, and another upload has it when the bytes are stored. */
async function createsNothingThatOthersTookOver(
  cluster: Cluster,
  connection: Connection,
  realm_id: WireUuid,
): Promise<void> {
  const block_id = new WireUuid(Uuid.random().hyphenated)
  await cluster.database!.query(`
    CREATE FUNCTION take_over() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.upload := gen_random_uuid(); RETURN NEW; END';
    CREATE TRIGGER take_over BEFORE INSERT ON block_upload FOR EACH ROW EXECUTE FUNCTION take_over()`)
  const created = await connection.cmd('block_create', { block_id, realm_id, block: randomBytes(BLOCK_BYTES) })
  await cluster.database!.query('DROP FUNCTION take_over CASCADE')
  assert.equal(created.status, 'timeout')
  assert.deepEqual(await rowsOf(cluster, 'block', block_id), [])
}

/** Whoever tries again does not wait until the reservation of the first attempt runs out. */
async function givesBackWhatFailed(
  cluster: Cluster,
  s3: FaultProxy,
  connection: Connection,
  realm_id: WireUuid,
): Promise<void> {
  const block_id = new WireUuid(Uuid.random().hyphenated)
  s3.fault = () => ({ kind: 'status', status: 403 })
  const created = await connection.cmd('block_create', { block_id, realm_id, block: randomBytes(BLOCK_BYTES) })
  s3.fault = () => undefined
  assert.equal(created.status, 'timeout')
  for (const end = performance.now() + DEADLINE_MS; ; await pause(POLL_MS)) {
    if ((await rowsOf(cluster, 'block_upload', block_id)).length === 0) return
    assert.ok(performance.now() < end, 'the reservation stays')
  }
}

/** Whether somebody waits for a lock on a reservation. */
async function isAwaited({ database }: Cluster): Promise<boolean> {
  const waiting = await database!.query(
    `SELECT FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%INTO block_upload%'`,
  )
  return waiting.length > 0
}
