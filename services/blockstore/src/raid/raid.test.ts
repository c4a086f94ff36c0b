/** RAID layouts and behaviour under node failure, byte for byte as recorded (tests/vectors/blockstore.json). */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mock, test } from 'node:test'
import { Uuid } from '@parsec/shared/codec/values'
import type { Log, LogKeys } from '@parsec/shared/log'
import { StoreNode } from '../stores/node.ts'
import { type ObjectStore, objectKey, type StoredObject, StoreError } from '../stores/store.ts'
import { nodeOf, Raid0Store } from './raid0.ts'
import { Raid1Store } from './raid1.ts'
import { Raid5Store } from './raid5.ts'

type Bytes = { hex: string } | { pattern: number }
type Stored = { node: number } & ({ hex: string } | { length: number; sha256: string; first: string; last: string })
type Mode = 'RAID0' | 'RAID1' | 'RAID5'
type Vectors = {
  placement: { nodes: number; block_id: string; node: number }[]
  objects: {
    store: Mode
    nodes: number
    organization_id: string
    block_id: string
    block: Bytes
    objects: Stored[]
    read_contacts?: number[]
  }[]
  degraded: {
    store: Mode
    nodes: number
    size: number
    operation: 'read' | 'create'
    fault: 'missing' | 'down'
    faulty: number[]
    new: 'ok' | 'timeout'
    retry?: 'ok'
  }[]
}
const path = new URL('../../../../tests/vectors/blockstore.json', import.meta.url)
const vectors: Vectors = JSON.parse(readFileSync(path, 'utf8'))
const uuid = (text: string): Uuid => Uuid.parse(text)!
const ORGANIZATION = 'CoolOrg'
const BLOCK = uuid('3b917792-35ac-409f-9af1-fe6de8d2b905')

const bytesOf = (bytes: Bytes): Buffer =>
  'hex' in bytes
    ? Buffer.from(bytes.hex, 'hex')
    : Buffer.from(Array.from({ length: bytes.pattern }, (_, i) => (131 * i + 17 * Math.floor(i / 256) + 7) % 256))

/** A node in memory whose objects and faults a test can reach. */
class TestNode implements ObjectStore {
  readonly keys = { blockstore_type: 'TEST' }
  readonly marker = null
  readonly objects = new Map<string, Buffer>()
  down = false
  silent = false
  reads = 0
  /** Writes only then, and listens to no signal. */
  writesAfter: Promise<void> | undefined
  async open(): Promise<void> {
    if (this.down) throw new StoreError('node is down')
  }
  async read(organization_id: string, block_id: Uuid, signal: AbortSignal): Promise<Buffer> {
    this.reads++
    await this.#fault(signal)
    const object = this.objects.get(objectKey(organization_id, block_id))
    if (!object) throw new StoreError('no such block', { missing: true })
    return object
  }
  async create(organization_id: string, block_id: Uuid, data: Buffer, signal: AbortSignal): Promise<void> {
    await this.#fault(signal)
    await this.writesAfter
    this.objects.set(objectKey(organization_id, block_id), data)
  }
  async *list(): AsyncIterable<StoredObject> {}
  async remove(): Promise<void> {}
  async close(): Promise<void> {}
  async #fault(signal: AbortSignal): Promise<void> {
    if (this.down) throw new StoreError('node is down')
    if (this.silent) await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  }
}

type Line = { event: string } & LogKeys
function recordingLog(): { log: Log; lines: Line[] } {
  const lines: Line[] = []
  const add = (event: string, keys: LogKeys = {}) => void lines.push({ ...keys, event })
  const log: Log = { debug: add, info: add, warning: add, error: add, critical: add, child: () => log }
  return { log, lines }
}

function raid(mode: Mode, count: number, { partialCreateOk = false } = {}) {
  const { log, lines } = recordingLog()
  const nodes = Array.from({ length: count }, () => new TestNode())
  const members = nodes.map((node, index) => new StoreNode(`node ${index}`, node))
  const options = { log, partialCreateOk, graceMs: 20, hedgeMs: 20 }
  const store =
    mode === 'RAID0'
      ? new Raid0Store(members, options)
      : mode === 'RAID1'
        ? new Raid1Store(members, options)
        : new Raid5Store(members, options)
  return { store, nodes, lines }
}
const factsOf = (block: Buffer) => ({ size: block.length, missedNodes: [] })
const never = (): AbortSignal => new AbortController().signal

test('RAID0 places a block by all 128 bits of its id (06-server §7.7)', () => {
  for (const { nodes, block_id, node } of vectors.placement) assert.equal(nodeOf(uuid(block_id), nodes), node, block_id)
})

test('every recorded block lies on the same nodes in the same bytes, and reads back (06-server §7.7–7.9)', async () => {
  for (const {
    store: mode,
    nodes: count,
    organization_id,
    block_id,
    block,
    objects,
    read_contacts,
  } of vectors.objects) {
    const name = `${mode} of ${count}, ${JSON.stringify(block)}`
    const { store, nodes } = raid(mode, count)
    const id = uuid(block_id)
    const data = bytesOf(block)
    await store.create(organization_id, id, data, never())
    const key = `${organization_id}/${block_id}`
    const holders = nodes.flatMap((node, index) => (node.objects.has(key) ? [index] : []))
    assert.deepEqual(
      holders,
      objects.map(object => object.node),
      name,
    )
    for (const object of objects) {
      const stored = nodes[object.node]!.objects.get(key)!
      if ('hex' in object) assert.equal(stored.toString('hex'), object.hex, name)
      else {
        assert.equal(stored.length, object.length, name)
        assert.equal(createHash('sha256').update(stored).digest('hex'), object.sha256, name)
      }
    }
    assert.deepEqual(await store.read(organization_id, id, factsOf(data), never()), data, name)
    const asked = nodes.flatMap((node, index) => (node.reads > 0 ? [index] : []))
    if (read_contacts) assert.deepEqual(asked, read_contacts, name)
  }
})

test('every recorded failure of nodes has its outcome (06-server §7.10)', async () => {
  for (const vector of vectors.degraded) {
    const { store, nodes } = raid(vector.store, vector.nodes)
    const block = bytesOf({ pattern: vector.size })
    const faulty = vector.faulty.map(index => nodes[index]!)
    const fail = () => {
      for (const node of faulty) {
        if (vector.fault === 'down') node.down = true
        else node.objects.clear()
      }
    }
    const outcome = async (work: Promise<unknown>): Promise<string> => {
      try {
        await work
        return 'ok'
      } catch (error) {
        assert.ok(error instanceof StoreError, String(error))
        return 'timeout'
      }
    }
    const create = () => store.create(ORGANIZATION, BLOCK, block, never())
    const read = async () => assert.deepEqual(await store.read(ORGANIZATION, BLOCK, factsOf(block), never()), block)
    if (vector.operation === 'read') {
      await create()
      fail()
      assert.equal(await outcome(read()), vector.new, JSON.stringify(vector))
    } else {
      fail()
      assert.equal(await outcome(create()), vector.new, JSON.stringify(vector))
      for (const node of faulty) node.down = false
      assert.equal(await outcome(create()), vector.retry, JSON.stringify(vector))
      await read()
    }
  }
})

test('a silent data node is treated like a failed one long before the deadline (06-server §7.10)', async () => {
  for (const mode of ['RAID1', 'RAID5'] as const) {
    const { store, nodes } = raid(mode, 3)
    const block = Buffer.from('Hodi ho !')
    await store.create(ORGANIZATION, BLOCK, block, never())
    nodes[1]!.silent = true
    assert.deepEqual(await store.read(ORGANIZATION, BLOCK, factsOf(block), never()), block)
  }
})

test('a RAID5 chunk of another length, or a senseless length prefix, counts as a failed node (06-server §7.9)', async () => {
  for (let damaged = 0; damaged < 4; damaged++) {
    for (const change of [(chunk: Buffer) => chunk.subarray(1), (chunk: Buffer) => Buffer.concat([chunk, chunk])]) {
      const { store, nodes, lines } = raid('RAID5', 4)
      const block = bytesOf({ pattern: 1000 })
      await store.create(ORGANIZATION, BLOCK, block, never())
      const { objects } = nodes[damaged]!
      for (const [key, chunk] of objects) objects.set(key, change(chunk))
      assert.deepEqual(await store.read(ORGANIZATION, BLOCK, factsOf(block), never()), block)
      const expected = damaged === 3 ? [] : [damaged]
      assert.deepEqual(
        lines.map(line => line.node),
        expected,
      )
    }
  }
  const { store, nodes } = raid('RAID5', 3)
  const block = bytesOf({ pattern: 1000 })
  await store.create(ORGANIZATION, BLOCK, block, never())
  for (const chunk of nodes[0]!.objects.values()) chunk[0] = 0x7f
  assert.deepEqual(await store.read(ORGANIZATION, BLOCK, factsOf(block), never()), block)
})

test('RAID5: a length in the chunks that is not the block’s is repaired where one chunk explains it, else refused', async () => {
  // With 5 data nodes and 9 bytes, the length lies in the first two chunks.
  for (const damaged of [0, 1]) {
    const { store, nodes } = raid('RAID5', 6)
    const block = Buffer.from('Hodi ho !')
    await store.create(ORGANIZATION, BLOCK, block, never())
    for (const chunk of nodes[damaged]!.objects.values()) chunk[damaged === 0 ? 2 : 0]! ^= 0x40
    mock.timers.enable({ apis: ['setTimeout'] })
    const read = store.read(ORGANIZATION, BLOCK, factsOf(block), never())
    await new Promise(setImmediate)
    mock.timers.reset()
    assert.equal(nodes[5]!.reads, 1, 'the checksum is asked as soon as it is needed')
    assert.deepEqual(await read, block)
    nodes[5]!.down = true
    await assert.rejects(store.read(ORGANIZATION, BLOCK, factsOf(block), never()), StoreError)
  }
  const { store, nodes } = raid('RAID5', 3)
  await store.create(ORGANIZATION, BLOCK, Buffer.alloc(7), never())
  for (const node of nodes) node.objects.set(objectKey(ORGANIZATION, BLOCK), Buffer.alloc(6))
  await assert.rejects(store.read(ORGANIZATION, BLOCK, factsOf(Buffer.alloc(7)), never()), StoreError)
})

test('RAID5 rebuilds from chunks wherever they lie in memory: stores return parts of larger buffers', async () => {
  const { store, nodes } = raid('RAID5', 4)
  const block = bytesOf({ pattern: 1001 })
  await store.create(ORGANIZATION, BLOCK, block, never())
  for (const [offset, { objects }] of nodes.entries())
    for (const [key, chunk] of objects) objects.set(key, Buffer.concat([Buffer.alloc(offset), chunk]).subarray(offset))
  nodes[0]!.objects.clear()
  assert.deepEqual(await store.read(ORGANIZATION, BLOCK, factsOf(block), never()), block)
})

test('a copy of another length is no block: RAID1 answers from another node, a single store fails (05-data §10.2)', async () => {
  const block = bytesOf({ pattern: 1000 })
  for (const change of [
    (copy: Buffer) => copy.subarray(1),
    () => Buffer.alloc(0),
    (copy: Buffer) => Buffer.concat([copy, copy]),
  ]) {
    const { store, nodes, lines } = raid('RAID1', 2)
    await store.create(ORGANIZATION, BLOCK, block, never())
    nodes[0]!.objects.set(objectKey(ORGANIZATION, BLOCK), change(block))
    assert.deepEqual(await store.read(ORGANIZATION, BLOCK, factsOf(block), never()), block)
    assert.deepEqual(
      lines.map(({ event, node }) => [event, node]),
      [['Block read error', 0]],
    )
    assert.deepEqual(
      store.nodes().map(({ corrupt, failingSince }) => [corrupt, failingSince]),
      [
        [1, null],
        [0, null],
      ],
    )
    const single = new StoreNode('single', nodes[0]!)
    await assert.rejects(single.read(ORGANIZATION, BLOCK, factsOf(block), never()), { corrupt: true })
  }
})

test('node failures are logged with node, organization and block, counted, and shown until the node works', async () => {
  const { store, nodes, lines } = raid('RAID5', 3)
  const block = Buffer.from('Hodi ho !')
  await store.create(ORGANIZATION, BLOCK, block, never())
  nodes[1]!.down = true
  await store.read(ORGANIZATION, BLOCK, factsOf(block), never())
  const [line] = lines
  assert.equal(lines.length, 1)
  assert.deepEqual(
    [line!.event, line!.node, line!.organization_id, line!.block_id, line!.cause],
    ['Block read error', 1, ORGANIZATION, BLOCK.hex, 'node is down'],
  )
  assert.deepEqual(
    store.nodes().map(({ failures, failingSince }) => [failures, failingSince !== null]),
    [
      [0, false],
      [1, true],
      [0, false],
    ],
  )
  nodes[1]!.down = false
  await store.read(ORGANIZATION, BLOCK, factsOf(block), never())
  assert.deepEqual(
    store.nodes().map(({ failures, failingSince }) => [failures, failingSince]),
    [
      [0, null],
      [1, null],
      [0, null],
    ],
  )
})

test('a failed create names its kind of RAID, and so does its log line (06-server §7.10)', async () => {
  for (const [mode, detail] of [
    ['RAID1', ': A node have failed'],
    ['RAID5', ': A node have failed'],
  ] as const) {
    const { store, nodes } = raid(mode, 3)
    nodes[2]!.down = true
    await assert.rejects(store.create(ORGANIZATION, BLOCK, Buffer.from('x'), never()), {
      detail,
      keys: { blockstore_type: mode, partial_create_ok: false },
    })
  }
})

test('with degraded writes a block is stored as long as it can be read back', async () => {
  const block = bytesOf({ pattern: 100 })
  for (const [mode, mayFail] of [
    ['RAID1', 2],
    ['RAID5', 1],
  ] as const) {
    for (const fault of ['down', 'silent'] as const) {
      const { store, nodes } = raid(mode, 3, { partialCreateOk: true })
      for (let index = 0; index < mayFail; index++) nodes[index]![fault] = true
      const missed = await store.create(ORGANIZATION, BLOCK, block, never())
      assert.deepEqual(missed, [...Array(mayFail).keys()])
      assert.deepEqual(await store.read(ORGANIZATION, BLOCK, factsOf(block), never()), block)
    }
    const { store, nodes } = raid(mode, 3, { partialCreateOk: true })
    assert.deepEqual(await store.create(ORGANIZATION, BLOCK, block, never()), [])
    for (let index = 0; index <= mayFail; index++) nodes[index]!.down = true
    await assert.rejects(store.create(ORGANIZATION, BLOCK, block, never()), StoreError)
  }
})

test('RAID5 reads without the node that missed the upload: it may hold a chunk of an earlier one', async () => {
  const [earlier, later] = [bytesOf({ pattern: 100 }), Buffer.alloc(100, 1)]
  for (const missed of [0, 1, 2]) {
    const { store, nodes } = raid('RAID5', 3, { partialCreateOk: true })
    await store.create(ORGANIZATION, BLOCK, earlier, never())
    nodes[missed]!.down = true
    const missedNodes = await store.create(ORGANIZATION, BLOCK, later, never())
    nodes[missed]!.down = false
    assert.deepEqual(await store.read(ORGANIZATION, BLOCK, { ...factsOf(later), missedNodes }, never()), later)
    assert.equal(nodes[missed]!.reads, 0)
    const [other] = [0, 1, 2].filter(node => node !== missed)
    nodes[other!]!.down = true
    await assert.rejects(store.read(ORGANIZATION, BLOCK, { ...factsOf(later), missedNodes }, never()), StoreError)
  }
})

test('a create that failed is quiet only when the slowest node has ended, whose write nobody could stop', async () => {
  const { store, nodes } = raid('RAID5', 3)
  const { promise, resolve } = Promise.withResolvers<void>()
  nodes[0]!.writesAfter = promise
  nodes[1]!.down = true
  await assert.rejects(store.create(ORGANIZATION, BLOCK, Buffer.from('x'), never()), StoreError)
  let isQuiet = false
  const quiet = store.quiet(ORGANIZATION, BLOCK).then(() => {
    isQuiet = true
  })
  await store.quiet(ORGANIZATION, uuid('0'.repeat(32)))
  await new Promise(setImmediate)
  assert.deepEqual([isQuiet, nodes[0]!.objects.size], [false, 0])
  resolve()
  await quiet
  assert.equal(nodes[0]!.objects.size, 1)
})

test('RAID1 and RAID5 start without the nodes that they can spare, RAID0 does not', async () => {
  for (const [mode, count, down, starts] of [
    ['RAID0', 2, 1, false],
    ['RAID1', 2, 1, true],
    ['RAID1', 2, 2, false],
    ['RAID5', 3, 1, true],
    ['RAID5', 3, 2, false],
  ] as const) {
    const { store, nodes, lines } = raid(mode, count)
    for (let index = 0; index < down; index++) nodes[index]!.down = true
    if (starts) {
      await store.open()
      assert.deepEqual(
        lines.map(line => line.event),
        ['Block store node away'],
      )
    } else await assert.rejects(store.open(), StoreError)
  }
})
