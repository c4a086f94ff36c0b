/** Nodes that know who they are: what is swapped, foreign, outdated or empty is refused, what is away comes back by itself. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { outcomeOf } from '@parsec/blockstore/scrub/state'
import type { StoreConfig } from '@parsec/blockstore/stores/registry'
import { Uuid } from '@parsec/shared/codec/values'
import { createMetrics, type Metrics, noMetrics } from '@parsec/shared/metrics'
import { startBackEnds } from './back-ends.ts'
import { ScrubWorld } from './scrub-world.ts'
import { TestService } from './service.ts'

const BLOCKS = 6
/** Short, for tests that wait for a node to be asked again. */
const PROBE_PAUSE_MS = 50

const world = await ScrubWorld.open()
const backEnds = await startBackEnds()
const folder = await mkdtemp(join(tmpdir(), 'parsec-nodes-'))
after(async () => {
  await world.close()
  await backEnds.stop()
  await rm(folder, { recursive: true, force: true })
})

/** Directories as nodes, and a database that knows nothing yet. */
class Nodes {
  readonly paths: string[]
  readonly store: StoreConfig
  readonly blocks = new Map<Uuid, Buffer>()
  readonly organization_id = `Org_${randomBytes(4).toString('hex')}`

  private constructor(type: 'FILE' | 'RAID0' | 'RAID1' | 'RAID5', paths: string[]) {
    this.paths = paths
    const nodes = paths.map(directory => ({ type: 'FILE', directory }) as const)
    this.store = type === 'FILE' ? nodes[0]! : { type, nodes }
  }
  static async make(type: 'FILE' | 'RAID0' | 'RAID1' | 'RAID5', count: number): Promise<Nodes> {
    await world.database.query('DELETE FROM blockstore_node')
    await world.forget()
    const paths = Array.from({ length: count }, () => join(folder, randomBytes(6).toString('hex')))
    for (const path of paths) await mkdir(path)
    return new Nodes(type, paths)
  }
  /** `isRegistered`: as servers are; not so a release that knew no markers. */
  async start(
    store = this.store,
    { isRegistered = true, metrics = noMetrics }: { isRegistered?: boolean; metrics?: Metrics } = {},
  ): Promise<TestService> {
    const register = isRegistered ? world.nodeRegister : null
    const options = { metrics, register, probePauseMs: PROBE_PAUSE_MS, storeDeadlineMs: 8_000 }
    const service = await TestService.start({ store }, options, this.organization_id)
    for (const [block_id, { length }] of this.blocks) service.committed.set(block_id.hex, length)
    return service
  }
  async fill(service: TestService): Promise<void> {
    for (let i = 0; i < BLOCKS; i++) {
      const [block_id, block] = [Uuid.random(), randomBytes(1000 + i)]
      await service.stores(block_id, block)
      this.blocks.set(block_id, block)
    }
    await world.register(
      this.organization_id,
      [...this.blocks].map(([block_id, { length }]) => [block_id, length] as const),
    )
  }
  async everyBlockIsRead(service: TestService): Promise<void> {
    for (const [block_id, block] of this.blocks) await service.holds(block_id, block)
  }
  /** Filled by a server that has ended. */
  async filled(options?: { isRegistered: boolean }): Promise<this> {
    const service = await this.start(this.store, options)
    await this.fill(service)
    await service.stop()
    return this
  }
  async isServed(): Promise<void> {
    const service = await this.start()
    await this.everyBlockIsRead(service)
    await service.stop()
  }
  async exchange(a: number, b: number): Promise<void> {
    await rename(this.paths[a]!, `${this.paths[a]}.tmp`)
    await rename(this.paths[b]!, this.paths[a]!)
    await rename(`${this.paths[a]}.tmp`, this.paths[b]!)
  }
  /** Another directory is mounted in the place of a node, whose own one is returned. */
  async replace(node: number): Promise<string> {
    const away = `${this.paths[node]}.old`
    await rename(this.paths[node]!, away)
    await mkdir(this.paths[node]!)
    return away
  }
}

for (const [type, count] of [
  ['RAID1', 2],
  ['RAID5', 3],
] as const) {
  describe(type, () => {
    test('the first start marks the nodes; the next ones know them; a scrub finds nothing wrong', async () => {
      const array = await (await Nodes.make(type, count)).filled()
      for (const [index, path] of array.paths.entries()) {
        const marker = JSON.parse(await readFile(join(path, '.parsec-node'), 'utf8'))
        assert.deepEqual([marker.kind, marker.nodes, marker.index], [type, count, index])
      }
      await array.isServed()
      const { state } = await world.scrubHere(array.store)
      assert.deepEqual([outcomeOf(state), state.counts.strangers, state.counts.orphans], ['clean', 0, 0])
    })

    test('nodes without markers, of a release that knew none, are adopted as they are', async () => {
      const array = await (await Nodes.make(type, count)).filled({ isRegistered: false })
      await array.isServed()
      await array.exchange(0, 1)
      await assert.rejects(array.start(), /node 0 \(file .*\) is node 1 of this array: .* are swapped/)
    })

    test('swapped, foreign and empty nodes end the start with one line that names node and remedy', async () => {
      const array = await (await Nodes.make(type, count)).filled()
      await array.exchange(0, 1)
      await assert.rejects(
        array.start(),
        /node 0 \(file .*\) is node 1 of this array: .* are swapped; put them in order/,
      )
      await assert.rejects(world.scrubHere(array.store), /swapped/)
      await array.exchange(0, 1)
      const own = await array.replace(1)
      await assert.rejects(
        array.start(),
        /node 1 \(file .*\) has lost its marker: it is empty .*`parsec backend scrub --adopt`/,
      )
      await writeFile(
        join(array.paths[1]!, '.parsec-node'),
        (await readFile(join(own, '.parsec-node'), 'utf8')).replace(/"array": "........-/, '"array": "00000000-'),
      )
      await assert.rejects(array.start(), /node 1 \(file .*\) belongs to another block store/)
      await rm(array.paths[1]!, { recursive: true })
      await rename(own, array.paths[1]!)
      await array.isServed()
    })

    test('a replaced node is adopted and refilled by a scrub; the old one is out of date from then on', async () => {
      const array = await (await Nodes.make(type, count)).filled()
      const old = await array.replace(1)
      const { state } = await world.scrubHere(array.store, { adopt: true, repair: true, node: 1 })
      assert.equal(outcomeOf(state), 'repaired')
      await array.isServed()
      await rm(array.paths[1]!, { recursive: true })
      await rename(old, array.paths[1]!)
      await assert.rejects(
        array.start(),
        /node 1 \(file .*\) was replaced by another storage: its blocks are out of date/,
      )
    })

    test('a start without one directory is degraded; a wrong one in its place is refused, the right one used again', async () => {
      const array = await (await Nodes.make(type, count)).filled()
      await rename(array.paths[1]!, `${array.paths[1]}.away`)
      const service = await array.start()
      assert.ok(service.lines.some(line => line.event === 'Block store node away' && line['node'] === 1))
      await array.everyBlockIsRead(service)
      await mkdir(array.paths[1]!)
      assert.equal((await service.create(Uuid.random(), Buffer.from('x'))).status, 'timeout')
      await array.everyBlockIsRead(service)
      assert.ok(service.lines.some(line => line.event === 'Block store node refused' && line['node'] === 1))
      await rm(array.paths[1]!, { recursive: true })
      await rename(`${array.paths[1]}.away`, array.paths[1]!)
      await service.stores(Uuid.random(), Buffer.from('x'))
      assert.equal(service.service.readiness().ready, true)
      await service.stop()
    })

    test('nothing is adopted in another order, and a node that is away stays what it is', async () => {
      const array = await (await Nodes.make(type, count)).filled()
      await array.exchange(0, 1)
      await assert.rejects(
        world.scrubHere(array.store, { adopt: true }),
        /node 0 .* is node 1 of this array: put the nodes/,
      )
      await array.exchange(0, 1)
      await rename(array.paths[1]!, `${array.paths[1]}.away`)
      await world.scrubHere(array.store, { adopt: true })
      await rename(`${array.paths[1]}.away`, array.paths[1]!)
      await array.isServed()
    })

    test('a database that knows no nodes, of a backup, learns them from the markers', async () => {
      const array = await (await Nodes.make(type, count)).filled()
      await world.database.query('DELETE FROM blockstore_node')
      await array.isServed()
      const old = await array.replace(1)
      await assert.rejects(array.start(), /node 1 \(file .*\) has lost its marker/)
      await rm(old, { recursive: true })
    })

    test('ready as long as blocks can be read, and again when they can be', async () => {
      const array = await (await Nodes.make(type, count)).filled()
      const service = await array.start()
      const [block_id] = array.blocks.keys()
      await rename(array.paths[0]!, `${array.paths[0]}.away`)
      await service.read(block_id!)
      await until(() => /failing since .* away/.test(JSON.stringify(service.service.readiness().detail)))
      assert.equal(service.service.readiness().ready, true)
      await rename(array.paths[1]!, `${array.paths[1]}.away`)
      assert.equal((await service.read(block_id!)).status, 'timeout')
      await until(() => !service.service.readiness().ready)
      assert.equal(service.service.readiness().detail['blockstore'], 'no block can be read')
      for (const node of [0, 1]) await rename(`${array.paths[node]}.away`, array.paths[node]!)
      await until(() => service.service.readiness().ready)
      await array.everyBlockIsRead(service)
      await service.stop()
    })
  })
}

test('RAID0: a node that has none of its own blocks is none of the array, though another one has them', async () => {
  const array = await (await Nodes.make('RAID0', 2)).filled({ isRegistered: false })
  await array.exchange(0, 1)
  await assert.rejects(array.start(), /has none of the newest blocks/)
  await array.exchange(0, 1)
  await array.isServed()
})

describe('a single store', () => {
  test('an empty directory with a full database is refused; it is adopted on demand', async () => {
    const array = await (await Nodes.make('FILE', 1)).filled({ isRegistered: false })
    await array.replace(0)
    await assert.rejects(array.start(), /has none of the newest blocks of the database: it is empty or another storage/)
    await world.scrubHere(array.store, { adopt: true })
    await (await array.start()).stop()
  })

  test('the same blocks in another form are refused until a scrub says so', async () => {
    const array = await (await Nodes.make('FILE', 1)).filled()
    const directory = join(folder, randomBytes(6).toString('hex'))
    await mkdir(directory)
    const store: StoreConfig = { type: 'RAID1', nodes: [array.store as never, { type: 'FILE', directory }] }
    await assert.rejects(
      array.start(store),
      /the blocks of this database are on a single store, but --blockstore names a RAID1 of 2 nodes/,
    )
    const { state } = await world.scrubHere(store, { adopt: true, repair: true })
    assert.equal(outcomeOf(state), 'repaired')
    const service = await array.start(store)
    await array.everyBlockIsRead(service)
    await service.stop()
  })

  test('readiness is lost with the store and comes back with it, without any request', async () => {
    const array = await (await Nodes.make('FILE', 1)).filled()
    const service = await array.start()
    await rename(array.paths[0]!, `${array.paths[0]}.away`)
    const [block_id] = array.blocks.keys()
    await service.create(Uuid.random(), Buffer.from('x'))
    await service.read(block_id!)
    await until(() => !service.service.readiness().ready)
    await rename(`${array.paths[0]}.away`, array.paths[0]!)
    await until(() => service.service.readiness().ready)
    await array.everyBlockIsRead(service)
    await service.stop()
  })

  test('its metric goes down with the first operation that fails, and up again when it is back, without any request', async () => {
    const array = await (await Nodes.make('FILE', 1)).filled()
    const metrics = await createMetrics()
    const service = await array.start(array.store, { metrics })
    const isUp = async () => (await metrics.expose()).body.match(/^parsec_blockstore_up\{.*\} (\d)$/m)![1] === '1'
    assert.equal(await isUp(), true)
    await rename(array.paths[0]!, `${array.paths[0]}.away`)
    assert.equal((await service.create(Uuid.random(), Buffer.from('x'))).status, 'timeout')
    assert.equal(await isUp(), false)
    await rename(`${array.paths[0]}.away`, array.paths[0]!)
    while (!(await isUp())) await pause(PROBE_PAUSE_MS)
    await service.stop()
  })

  for (const kind of ['s3', 'swift', 'keystone'] as const)
    test(`${kind}: the marker lies beside the blocks; other objects stay as they are`, async () => {
      const array = await Nodes.make('FILE', 1)
      const own = (await backEnds.another(`nodes-${randomBytes(6).toString('hex')}`))[kind]
      await own.request('PUT', 'theirs/letter.txt', Buffer.from('dear'))
      const store = own.store(own.url)
      for (let start = 0; start < 2; start++) {
        const service = await array.start(store)
        await service.stores(Uuid.random(), randomBytes(100))
        await service.stop()
      }
      const marker = JSON.parse(await (await own.request('GET', '.parsec-node')).text())
      assert.deepEqual([marker.kind, marker.index], ['single', 0])
      assert.equal(await (await own.request('GET', 'theirs/letter.txt')).text(), 'dear')
      await own.request('DELETE', '.parsec-node')
      await assert.rejects(array.start(store), /node 0 .* has lost its marker/)
    })
})

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await pause(PROBE_PAUSE_MS)
}
