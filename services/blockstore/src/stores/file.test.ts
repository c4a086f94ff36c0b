/** Blocks as files: where they lie, when they appear, and which directories are refused. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Uuid } from '@parsec/shared/codec/values'
import { OperatorError } from '@parsec/shared/errors'
import { FileStore } from './file.ts'
import { StoreNode } from './node.ts'
import { StoreError } from './store.ts'

const BLOCK = Uuid.parse('3b917792-35ac-409f-9af1-fe6de8d2b905')!
const folder = await mkdtemp(join(tmpdir(), 'parsec-file-store-'))
const store = new FileStore(folder)
before(() => store.open())
after(() => rm(folder, { recursive: true }))

test('a block is one file with exactly its bytes, under organization, shard and hyphenated id', async () => {
  for (const organization_id of ['CoolOrg', 'Ørg_東京-2']) {
    await store.create(organization_id, BLOCK, Buffer.from('Hodi ho !'))
    const path = join(folder, organization_id, '3b', '3b917792-35ac-409f-9af1-fe6de8d2b905')
    assert.equal(await readFile(path, 'utf8'), 'Hodi ho !')
    assert.deepEqual(await store.read(organization_id, BLOCK), Buffer.from('Hodi ho !'))
  }
  assert.deepEqual(await readdir(join(folder, '.incoming')), [])
})

test('an empty block, and one that is written again', async () => {
  const block_id = Uuid.random()
  await store.create('Org', block_id, Buffer.alloc(0))
  assert.deepEqual(await store.read('Org', block_id), Buffer.alloc(0))
  await store.create('Org', block_id, Buffer.from('again'))
  assert.deepEqual(await store.read('Org', block_id), Buffer.from('again'))
})

test('many at once in new folders', async () => {
  const blocks = Array.from({ length: 100 }, (_, i) => [Uuid.random(), Buffer.alloc(2000, i)] as const)
  await Promise.all(blocks.map(([block_id, data]) => store.create('Many', block_id, data)))
  for (const [block_id, data] of blocks) assert.deepEqual(await store.read('Many', block_id), data)
})

test('a missing block is told apart from a failure; a failed write leaves nothing', async () => {
  const block_id = Uuid.random()
  await assert.rejects(
    () => store.read('Org', block_id),
    (error: unknown) => error instanceof StoreError && error.missing,
  )
  // A folder where the file should be makes the last step fail.
  await mkdir(join(folder, 'Org', block_id.hex.slice(0, 2), block_id.hyphenated, 'x'), { recursive: true })
  await assert.rejects(() => store.create('Org', block_id, Buffer.from('x')))
  assert.deepEqual(await readdir(join(folder, '.incoming')), [])
})

test('a start removes what a dead server left half-written, not what another is writing', async () => {
  const [old, recent] = [join(folder, '.incoming', 'old'), join(folder, '.incoming', 'recent')]
  for (const path of [old, recent]) await writeFile(path, 'half')
  await utimes(old, new Date(0), new Date(0))
  await store.open()
  assert.deepEqual(await readdir(join(folder, '.incoming')), ['recent'])
  await rm(recent)
})

test('a directory that is not there is away: it may be a mount that is missing (06-server §7.10)', async () => {
  await assert.rejects(() => new FileStore(join(folder, 'nowhere')).open(), StoreError)
  await writeFile(join(folder, 'a-file'), '')
  await assert.rejects(() => new FileStore(join(folder, 'a-file')).open(), OperatorError)
})

test('the objects of an organization go, so many at a time; those of the names before and behind it stay', async () => {
  const place = await mkdtemp(join(folder, 'removal-'))
  const node = new StoreNode('node', new FileStore(place))
  await node.open()
  const { signal } = new AbortController()
  const data = Buffer.from('x')
  const facts = { size: data.length, missedNodes: [] }
  const others = ['Acm', 'Acme-', 'Acme0', 'Acmf'].map(id => [id, Uuid.random()] as const)
  for (const [id, block_id] of others) await node.create(id, block_id, data, signal)
  const own = Array.from({ length: 5 }, () => Uuid.random())
  for (const block_id of own) await node.create('Acme', block_id, data, signal)
  const ends: boolean[] = []
  for (let n = 0; n < 3; n++) ends.push(await node.removeAll('Acme', 2, signal))
  assert.deepEqual(ends, [false, false, true])
  for (const block_id of own) await assert.rejects(node.read('Acme', block_id, facts, signal), { missing: true })
  for (const [id, block_id] of others) assert.deepEqual(await node.read(id, block_id, facts, signal), data)
})

test('a node is asked who it is before its objects count as gone: another disk has none of them', async () => {
  const node = new StoreNode('node', new FileStore(await mkdtemp(join(folder, 'another-'))))
  await node.open()
  node.checkWith(() => Promise.reject(new StoreError('another node')), true)
  await assert.rejects(node.removeAll('Acme', 2, new AbortController().signal), /another node/)
})
