/** A block store that dies in mid-write, and a create beside a scrub that removes: through real services and the real metadata. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { StoreConfig } from '@parsec/blockstore/stores/registry'
import { Uuid } from '@parsec/shared/codec/values'
import { blockClaimKey } from '@parsec/shared/postgres/block-claim'
import pg from 'pg'
import { clientOf, Uuid as WireUuid } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'
import { startBackEnds } from './back-ends.ts'
import { FaultProxy } from './fault-proxy.ts'
import { optionsOf, runScrub } from './scrub-world.ts'

const DEADLINE_MS = 60_000
const POLL_MS = 25
const LONG_AGO = new Date(Date.now() - 7 * 24 * 3_600_000)

const backEnds = await startBackEnds(`kill-${randomBytes(6).toString('hex')}`)
const s3 = await FaultProxy.start(backEnds.s3.url)
const directory = await mkdtemp(join(tmpdir(), 'parsec-kill-'))
const store: StoreConfig = { type: 'RAID1', nodes: [{ type: 'FILE', directory }, backEnds.s3.store(s3.url)] }
const [first, ...others] = optionsOf(store)
const cluster = await Cluster.start({
  topology: 'cluster',
  blockstore: first!.slice('--blockstore='.length),
  flags: others,
})
const client = clientOf(cluster)
after(async () => {
  await client.end()
  await cluster.stop()
  await s3.close()
  await backEnds.stop()
  await rm(directory, { recursive: true })
})
const { id, alice } = await client.org()
const connection = await client.connect(alice)
const realm_id = await client.realm(connection, alice)
const create = async (block_id: WireUuid, block: Buffer): Promise<string> =>
  (await connection.cmd('block_create', { block_id, realm_id, block })).status
const fileOf = (block_id: Uuid) => join(directory, id, block_id.hex.slice(0, 2), block_id.hyphenated)

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`${what}: not in time\n${cluster.output}`)
    await pause(POLL_MS)
  }
}

/** Kills the block store while the file node has the block and the other has not. */
async function killInMidWrite(block_id: Uuid, block: Buffer): Promise<void> {
  const blockstore = cluster.process('blockstore-1')
  s3.fault = ({ method }) => (method === 'PUT' ? { kind: 'silence' } : undefined)
  const reply = clientOf(cluster)
  const doomed = await reply.connect(alice)
  const answer = doomed
    .cmd('block_create', { block_id: new WireUuid(block_id.hex), realm_id, block })
    .then(({ status }: { status: string }) => status, String)
  await until('half written', async () => (await readFile(fileOf(block_id)).catch(() => null))?.equals(block) === true)
  await blockstore.end('SIGKILL')
  await reply.end()
  assert.notEqual(await answer, 'ok')
  s3.fault = () => undefined
  await blockstore.start()
}

test('killed in mid-write: a retry succeeds, what is never retried is an orphan and nothing worse', async () => {
  const [retried, abandoned] = [Uuid.random(), Uuid.random()]
  await killInMidWrite(retried, randomBytes(50_000))
  // A client encrypts anew: the bytes of the retry are others.
  const block = randomBytes(50_000)
  assert.equal(await create(new WireUuid(retried.hex), block), 'ok')
  await killInMidWrite(abandoned, randomBytes(1000))
  const read = await connection.cmd('block_read', { block_id: new WireUuid(retried.hex) })
  assert.ok(read.status === 'ok' && block.equals(read.block))

  await cluster.database!.query(`UPDATE block SET created_on = created_on - interval '1 hour'`)
  await utimes(fileOf(abandoned), LONG_AGO, LONG_AGO)
  const { code, lines, end } = await runScrub(cluster.database!.url, optionsOf(store))
  assert.equal(code, 0, JSON.stringify(lines))
  assert.equal(end['blocks'], 1)
  assert.deepEqual(
    lines.filter(({ kind }) => kind === 'orphan').map(({ node, key }) => [node, key]),
    [[0, `${id}/${abandoned.hyphenated}`]],
  )
})

test('a block whose left-overs are being removed is not created until that is done', async () => {
  const block_id = Uuid.random()
  const remover = new pg.Client({ connectionString: cluster.database!.url })
  await remover.connect()
  await remover.query('BEGIN')
  await remover.query('SELECT pg_advisory_xact_lock($1)', [blockClaimKey(id, block_id)])
  const other = await clientOf(cluster).connect(alice)
  const refused = await other
    .cmd('block_create', { block_id: new WireUuid(block_id.hex), realm_id, block: Buffer.from('x') })
    .then(({ status }: { status: string }) => status, String)
  assert.notEqual(refused, 'ok')
  await assert.rejects(readFile(fileOf(block_id)), /ENOENT/)
  await remover.query('COMMIT')
  await remover.end()
  const again = clientOf(cluster)
  const reply = await (await again.connect(alice)).cmd('block_create', {
    block_id: new WireUuid(block_id.hex),
    realm_id,
    block: Buffer.from('x'),
  })
  assert.equal(reply.status, 'ok')
  await again.end()
})
