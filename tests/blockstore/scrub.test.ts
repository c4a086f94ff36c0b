/** A RAID that lost a node gets its redundancy back by `parsec backend scrub`, and nothing acknowledged is ever lost. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { nodeOf } from '@parsec/blockstore/raid/raid0'
import { newScrub, outcomeOf, type ScrubEvent } from '@parsec/blockstore/scrub/state'
import { FileStore } from '@parsec/blockstore/stores/file'
import type { StoreConfig } from '@parsec/blockstore/stores/registry'
import { Uuid } from '@parsec/shared/codec/values'
import { blockClaimKey } from '@parsec/shared/postgres/block-claim'
import pg from 'pg'
import { startBackEnds } from './back-ends.ts'
import { type Fault, FaultProxy } from './fault-proxy.ts'
import { ANY_AGE_MS, ScrubWorld } from './scrub-world.ts'
import { TestService } from './service.ts'

const HEALTHY_WRITES = 12
const DEGRADED_WRITES = 12
const REFUSED_WRITES = 3
/** More than a page of the scrub holds, and less than two. */
const MANY_BLOCKS = 350
const AWAY: Fault = { kind: 'status', status: 403 }
const EXIT = { clean: 0, repaired: 3, damaged: 4 }

const backEnds = await startBackEnds(`scrub-${randomBytes(6).toString('hex')}`)
const [s3, swift] = [await FaultProxy.start(backEnds.s3.url), await FaultProxy.start(backEnds.swift.url)]
const world = await ScrubWorld.open()
const folder = await mkdtemp(join(tmpdir(), 'parsec-scrub-'))
after(async () => {
  await world.close()
  await s3.close()
  await swift.close()
  await backEnds.stop()
  await rm(folder, { recursive: true, force: true })
})
const network = { caFile: null, proxy: {}, attemptMs: 3_000 }

for (const type of ['RAID1', 'RAID5'] as const) {
  describe(type, () => {
    const directory = join(folder, type)
    const away = `${directory}.away`
    const store: StoreConfig = {
      type,
      nodes: [backEnds.s3.store(s3.url), backEnds.swift.store(swift.url), { type: 'FILE', directory }],
    }
    const blocks = new Map<Uuid, Buffer>()
    let service: TestService
    const start = async (raidDegradedWrites: boolean): Promise<void> => {
      const organization_id = service?.organization_id
      service = await TestService.start(
        { store, raidDegradedWrites },
        { network, storeDeadlineMs: 8_000 },
        organization_id,
      )
      for (const [block_id, block] of blocks) service.committed.set(block_id.hex, block.length)
    }
    const add = async (): Promise<void> => {
      const [block_id, block] = [Uuid.random(), randomBytes(3000 + blocks.size)]
      await service.stores(block_id, block)
      blocks.set(block_id, block)
    }
    const everyBlockIsRead = async () => {
      for (const [block_id, block] of blocks) await service.holds(block_id, block)
    }
    const fileOf = (block_id: Uuid) =>
      join(directory, service.organization_id, block_id.hex.slice(0, 2), block_id.hyphenated)

    test('one node away: blocks are read, writes answer timeout, or ok where degraded writes are allowed (06-server §7.10)', async () => {
      await mkdir(directory)
      await start(false)
      for (let i = 0; i < HEALTHY_WRITES; i++) await add()
      s3.fault = () => AWAY
      await everyBlockIsRead()
      for (let i = 0; i < REFUSED_WRITES; i++) {
        const block_id = Uuid.random()
        assert.equal((await service.create(block_id, randomBytes(500))).status, 'timeout')
        assert.ok(!service.committed.has(block_id.hex))
      }
      s3.fault = () => undefined
      await service.stop()
      await start(true)
      s3.fault = () => AWAY
      for (let i = 0; i < DEGRADED_WRITES; i++) await add()
      await everyBlockIsRead()
      s3.fault = () => undefined
      await world.register(
        service.organization_id,
        [...blocks].map(([block_id, block]) => [block_id, block.length, service.missed.get(block_id.hex)] as const),
      )
    })

    test('the node is back: a scrub tells what it lacks, repairs it, and finds nothing the next time', async () => {
      const told = await world.scrubHere(store)
      assert.equal(outcomeOf(told.state), 'damaged')
      assert.equal(told.state.counts.missing, DEGRADED_WRITES)
      assert.ok(told.events.every(event => event.kind !== 'missing' || event.node === 0))
      const repaired = await world.scrub(store, '--repair', '--max-rate=1000')
      assert.equal(repaired.code, EXIT.repaired, JSON.stringify(repaired.end))
      assert.equal(repaired.end['repaired'], DEGRADED_WRITES)
      // The scrub forgets it in the metadata, which the service does not ask here.
      service.missed.clear()
      const clean = await world.scrubHere(store)
      assert.equal(outcomeOf(clean.state), 'clean')
      assert.equal(clean.state.blocks, blocks.size)
    })

    test('then any other node may be away', async () => {
      swift.fault = () => AWAY
      await everyBlockIsRead()
      swift.fault = () => undefined
      await rename(directory, away)
      await everyBlockIsRead()
      await rename(away, directory)
    })

    test('a replaced node is refilled', async () => {
      await rm(directory, { recursive: true })
      await mkdir(directory)
      const { state } = await world.scrubHere(store, { repair: true, node: 2 })
      assert.equal(outcomeOf(state), 'repaired')
      assert.equal(state.counts.repaired, blocks.size)
      const clean = await world.scrubHere(store, { node: 2 })
      assert.equal(outcomeOf(clean.state), 'clean')
      s3.fault = () => AWAY
      await everyBlockIsRead()
      s3.fault = () => undefined
    })

    test('a flipped bit is found; it is repaired where redundancy proves it, or the operator names the node', async () => {
      const [block_id] = [...blocks.keys()]
      const file = fileOf(block_id!)
      const right = await readFile(file)
      const wrong = Buffer.from(right)
      wrong[100]! ^= 1
      await writeFile(file, wrong)
      const { state } = await world.scrubHere(store, { repair: true })
      assert.equal(outcomeOf(state), type === 'RAID1' ? 'repaired' : 'damaged')
      if (type === 'RAID5') {
        assert.ok((await readFile(file)).equals(wrong))
        assert.equal(outcomeOf((await world.scrubHere(store, { repair: true, node: 2 })).state), 'repaired')
      }
      assert.ok((await readFile(file)).equals(right))
    })

    test('a node that is away is told, not taken for an empty one', async () => {
      swift.fault = () => ({ kind: 'reset' })
      const { state } = await world.scrubHere(store, { repair: true })
      swift.fault = () => undefined
      assert.equal(outcomeOf(state), 'damaged')
      assert.deepEqual([state.counts.missing, state.counts.unreadable], [0, blocks.size])
    })

    test('orphans are told, and removed when they are old; blocks, and what another server has, stay', async () => {
      const organization_id = service.organization_id
      const orphan = `${organization_id}/${Uuid.random().hyphenated}`
      const strange = `Other${randomBytes(4).toString('hex')}/${Uuid.random().hyphenated}`
      for (const { request } of [backEnds.s3, backEnds.swift])
        for (const key of [orphan, strange]) assert.ok((await request('PUT', key, Buffer.from('left behind'))).ok)
      const path = join(directory, organization_id, orphan.split('/')[1]!.slice(0, 2))
      await mkdir(path, { recursive: true })
      await writeFile(join(path, orphan.split('/')[1]!), 'left behind')

      const holders = (events: readonly ScrubEvent[], removed: boolean) =>
        events.flatMap(event =>
          event.kind === 'orphan' && event.key === orphan && event.removed === removed ? [event.node] : [],
        )
      const young = await world.scrubHere(store, { removeOlderThanMs: 3_600_000 })
      assert.deepEqual(holders(young.events, false), [0, 1, 2])
      const old = await world.scrubHere(store, { removeOlderThanMs: ANY_AGE_MS })
      assert.deepEqual(holders(old.events, true), [0, 1, 2])
      assert.equal(outcomeOf(old.state), 'clean')
      const none = await world.scrubHere(store)
      assert.equal(
        none.events.filter(event => event.kind === 'orphan' && event.key.startsWith(organization_id)).length,
        0,
      )
      for (const { request } of [backEnds.s3, backEnds.swift]) {
        const kept = await request('GET', strange)
        await kept.arrayBuffer()
        assert.equal(kept.status, 200)
        await request('DELETE', strange)
      }
      await everyBlockIsRead()
    })

    after(async () => {
      await service?.stop()
      await world.forget()
    })
  })
}

test('a node in the database: a wrong row is replaced, an orphan of unknown age is told and stays', async () => {
  const organization_id = `Org${randomBytes(4).toString('hex')}`
  const directory = join(folder, 'database')
  await mkdir(directory)
  const files = new FileStore(directory)
  await files.open()
  const blocks = Array.from({ length: 5 }, () => [Uuid.random(), randomBytes(100)] as const)
  for (const [block_id, block] of blocks) await files.create(organization_id, block_id, block)
  await world.register(
    organization_id,
    blocks.map(([block_id, block]) => [block_id, block.length] as const),
  )
  const [orphan, [wrong]] = [Uuid.random(), blocks[0]!]
  await world.database.query('INSERT INTO block_data VALUES ($1, $2, $4), ($1, $3, $4)', [
    organization_id,
    orphan.hyphenated,
    wrong.hyphenated,
    Buffer.from('short'),
  ])
  const store: StoreConfig = { type: 'RAID1', nodes: [{ type: 'FILE', directory }, { type: 'POSTGRESQL' }] }
  const repaired = await world.scrub(store, '--repair', '--delete-orphans')
  assert.deepEqual(
    [repaired.code, repaired.end['missing'], repaired.end['corrupt'], repaired.end['orphans'], repaired.end['removed']],
    [EXIT.repaired, 4, 1, 1, 0],
  )
  const rows = await world.database.query<{ block_id: string; data: Buffer }>('SELECT block_id, data FROM block_data')
  for (const [block_id, block] of blocks)
    assert.ok(rows.find(row => row.block_id === block_id.hyphenated)?.data.equals(block))
  assert.equal(rows.length, blocks.length + 1)
  await world.forget()
})

test('an interrupted scrub goes on where it was', async () => {
  const organization_id = `Org${randomBytes(4).toString('hex')}`
  await world.register(
    organization_id,
    Array.from({ length: MANY_BLOCKS }, () => [Uuid.random(), 10] as const),
  )
  const directory = join(folder, 'interrupted')
  await mkdir(directory)
  const state = newScrub()
  const stopping = new AbortController()
  const report = (event: ScrubEvent) => {
    if (event.kind === 'progress' && event.done === MANY_BLOCKS - 50) stopping.abort(new Error('interrupted'))
  }
  const store = { type: 'FILE', directory } as const
  await assert.rejects(world.scrubHere(store, { state, report, signal: stopping.signal }), /interrupted/)
  assert.ok(state.position > 0 && state.blocks > 0 && state.blocks < MANY_BLOCKS)
  assert.equal(state.counts.missing, state.blocks)
  await world.scrubHere(store, { state: JSON.parse(JSON.stringify(state)) }).then(({ state: ended }) => {
    assert.equal(ended.phase, 'done')
    assert.deepEqual(
      [ended.blocks, ended.counts.missing, ended.counts.damaged],
      [MANY_BLOCKS, MANY_BLOCKS, MANY_BLOCKS],
    )
  })
  await world.forget()
})

test('a scrub counts the blocks that it left alone because they are young, and looks for none that is deleted', async () => {
  const ids = [Uuid.random(), Uuid.random(), Uuid.random()] as const
  await world.register(
    `Org${randomBytes(4).toString('hex')}`,
    ids.map(block_id => [block_id, 10] as const),
  )
  const change = (block_id: Uuid, column: string) =>
    world.database.query(`UPDATE block SET ${column} = now() WHERE block_id = $1`, [block_id.hyphenated])
  await change(ids[0], 'created_on')
  await change(ids[1], 'deleted_on')
  const directory = join(folder, 'young')
  await mkdir(directory)
  const { state } = await world.scrubHere({ type: 'FILE', directory }, { youngMs: 1_800_000 })
  assert.deepEqual([state.blocks, state.young, state.counts.damaged, state.phase], [1, 1, 1, 'done'])
  await world.forget()
})

/** Directories, and what writes to them. */
async function directories(name: string, count: number) {
  const paths = Array.from({ length: count }, (_, n) => join(folder, `${name}-${n}`))
  for (const path of paths) await mkdir(path)
  const files = paths.map(path => new FileStore(path))
  for (const store of files) await store.open()
  return { files, nodes: paths.map(directory => ({ type: 'FILE', directory }) as const) }
}
const contentOf = (store: FileStore, organization_id: string, block_id: Uuid) =>
  store.read(organization_id, block_id).catch(() => null)

test('RAID0: a block is looked for on its own node only', async () => {
  const organization_id = `Org${randomBytes(4).toString('hex')}`
  const { files, nodes } = await directories('spread', 3)
  const onNode = (node: number): Uuid => {
    for (;;) {
      const block_id = Uuid.random()
      if (nodeOf(block_id, 3) === node) return block_id
    }
  }
  const blocks = [onNode(0), onNode(1), onNode(2)]
  for (const [node, block_id] of blocks.entries())
    if (node !== 1) await files[node]!.create(organization_id, block_id, Buffer.from('x'))
  await world.register(
    organization_id,
    blocks.map(block_id => [block_id, 1] as const),
  )
  const store: StoreConfig = { type: 'RAID0', nodes }
  const all = await world.scrubHere(store, { repair: true })
  assert.deepEqual([all.state.counts.missing, all.state.counts.damaged, all.state.counts.repaired], [1, 1, 0])
  assert.deepEqual(
    all.events.flatMap(event => (event.kind === 'missing' ? [event.node] : [])),
    [1],
  )
  assert.equal(outcomeOf((await world.scrubHere(store, { node: 0 })).state), 'clean')
  await world.forget()
})

test('a node that missed an upload is not believed, whatever the operator suspects, and is known until it has the block', async () => {
  const organization_id = `Org${randomBytes(4).toString('hex')}`
  const { files, nodes } = await directories('missed', 2)
  const [missed, lost] = [Uuid.random(), Uuid.random()]
  const [right, stale] = [randomBytes(100), randomBytes(100)]
  await files[0]!.create(organization_id, missed, stale)
  for (const block_id of [missed, lost]) await files[1]!.create(organization_id, block_id, right)
  await world.register(organization_id, [
    [missed, 100, [0]],
    [lost, 100],
  ])
  const store: StoreConfig = { type: 'RAID1', nodes }
  const known = () => world.database.query('SELECT missed_nodes FROM block WHERE block_id = $1', [missed.hyphenated])
  const suspected = await world.scrubHere(store, { repair: true, node: 1 })
  assert.equal(outcomeOf(suspected.state), 'clean')
  assert.deepEqual(await contentOf(files[1]!, organization_id, missed), right)
  assert.deepEqual(await contentOf(files[0]!, organization_id, missed), stale)
  assert.equal(await contentOf(files[0]!, organization_id, lost), null)
  assert.deepEqual(await known(), [{ missed_nodes: [0] }])
  assert.equal((await world.scrubHere(store, { repair: true })).state.counts.repaired, 2)
  for (const block_id of [missed, lost]) assert.deepEqual(await contentOf(files[0]!, organization_id, block_id), right)
  assert.deepEqual(await known(), [{ missed_nodes: null }])
  await world.forget()
})

test('an orphan stays while somebody may be making a block of it', async () => {
  const organization_id = `Org${randomBytes(4).toString('hex')}`
  const { files, nodes } = await directories('claimed', 1)
  const [making, left] = [Uuid.random(), Uuid.random()]
  for (const block_id of [making, left]) await files[0]!.create(organization_id, block_id, Buffer.from('x'))
  await world.register(organization_id, [])
  const maker = new pg.Client({ connectionString: world.database.url })
  await maker.connect()
  await maker.query('SELECT pg_advisory_lock_shared($1)', [blockClaimKey(organization_id, making)])
  const { state, events } = await world.scrubHere(nodes[0]!, { removeOlderThanMs: ANY_AGE_MS })
  await maker.end()
  assert.deepEqual([state.counts.orphans, state.counts.removed], [2, 1])
  assert.ok(events.some(event => event.kind === 'orphan' && event.key.endsWith(left.hyphenated) && event.removed))
  assert.deepEqual(await contentOf(files[0]!, organization_id, making), Buffer.from('x'))
})

test('the command: its exit codes, the state that an unfinished run leaves, and refusals by the name of the option', async () => {
  const directory = join(folder, 'command')
  await mkdir(directory)
  const store = { type: 'FILE', directory } as const
  assert.equal((await world.scrub(store)).code, EXIT.clean)
  await world.register(`Org${randomBytes(4).toString('hex')}`, [[Uuid.random(), 10]])
  const state = join(folder, 'state.json')
  const damaged = await world.scrub(store, `--state=${state}`)
  assert.deepEqual([damaged.code, damaged.end['damaged']], [EXIT.damaged, 1])
  await assert.rejects(readFile(state), /ENOENT/)
  await writeFile(state, JSON.stringify({ version: 1, work: 'of somebody else', state: newScrub() }))
  await assert.rejects(world.scrub(store, `--state=${state}`), /--state: .* belongs to another scrub/)
  await assert.rejects(world.scrub(store, '--node=1'), /--node must be between 0 and 0/)
  await assert.rejects(world.scrubHere({ type: 'MOCKED' }), /--blockstore=MOCKED/)
  await world.forget()
})
