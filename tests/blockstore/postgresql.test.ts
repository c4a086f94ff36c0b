/** The POSTGRESQL store on a real database: rows as recorded, no deadlock, and an outage that passes (spec 06 §7.5). */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { Uuid } from '@parsec/shared/codec/values'
import { readDatabaseUrl } from '@parsec/shared/postgres/url'
import { createDatabase } from '../harness/backing.ts'
import { NODE_ARGV } from '../harness/launch.ts'
import { TestService } from './service.ts'

type Step = { read?: string; create?: string; hex?: string; result?: string; new?: string }
type Vectors = {
  postgresql: {
    steps: Step[]
    organization_id: string
    rows: { organization_id: string; block_id: string; data: string }[]
  }
}
const path = new URL('../vectors/blockstore.json', import.meta.url)
const { postgresql: vectors }: Vectors = JSON.parse(readFileSync(path, 'utf8'))
const CONNECTIONS = 2

const database = await createDatabase()
await promisify(execFile)(process.execPath, [...NODE_ARGV, 'backend', 'migrate', `--db=${database.url}`])
const service = await TestService.start({
  store: { type: 'POSTGRESQL' },
  database: {
    kind: 'POSTGRESQL',
    target: readDatabaseUrl(database.url),
    minConnections: CONNECTIONS,
    maxConnections: CONNECTIONS,
    maxAttempts: 1,
    retryPauseSeconds: 1,
  },
})
after(async () => {
  await service.stop()
  await database.drop()
})

test('the recorded steps leave the recorded rows: the first write wins (06-server §7.5)', async () => {
  const { organization_id } = vectors
  const recorded = service.as(organization_id)
  for (const { read, create, hex, result, new: changed } of vectors.steps) {
    const block_id = Uuid.parse((create ?? read)!)!
    // The store alone is recorded: for the metadata, each create is the first and each read has consent.
    if (create) service.committed.delete(block_id.hex)
    else service.committed.set(block_id.hex, (hex?.length ?? 0) / 2)
    const reply = create ? await recorded.create(block_id, Buffer.from(hex!, 'hex')) : await recorded.read(block_id)
    assert.equal(reply.status, changed ?? result)
    if (read && hex) assert.equal(reply.block!.toString('hex'), hex)
  }
  const rows = await database.query<{ organization_id: string; block_id: string; data: Buffer }>(
    'SELECT organization_id, block_id, data FROM block_data WHERE organization_id = $1',
    [organization_id],
  )
  const found = rows.map(row => ({ ...row, data: row.data.toString('hex') }))
  const byId = (a: { block_id: string }, b: { block_id: string }) => a.block_id.localeCompare(b.block_id)
  assert.deepEqual(found.sort(byId), vectors.rows.toSorted(byId))
})

test('more creates at once than connections (06-server#48)', async () => {
  const blocks = Array.from({ length: 40 }, (_, i) => [Uuid.random(), Buffer.alloc(200_000, i)] as const)
  await Promise.all(blocks.map(([block_id, block]) => service.stores(block_id, block)))
})

test('lost connections cost at most a timeout, never a block', async () => {
  const kept = Uuid.random()
  await service.stores(kept, Buffer.from('kept'))
  const blocks = Array.from({ length: 60 }, (_, i) => [Uuid.random(), Buffer.alloc(100_000, i)] as const)
  const creates = blocks.map(([block_id, block]) => service.create(block_id, block))
  const name = new URL(database.url).pathname.slice(1)
  await database.query(
    'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()',
    [name],
  )
  for (const [index, reply] of (await Promise.all(creates)).entries()) {
    const [block_id, block] = blocks[index]!
    if (reply.status === 'ok') await service.holds(block_id, block)
    else assert.equal(reply.status, 'timeout')
  }
  await service.holds(kept, Buffer.from('kept'))
})
