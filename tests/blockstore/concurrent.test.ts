/** Many clients create blocks at once on a server with two database connections: every one is answered (spec 06 §7.5). */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import type { NodeConfig, StoreConfig } from '@parsec/blockstore/stores/registry'
import { createDatabase } from '../harness/backing.ts'
import { Context, clientOf, Uuid } from '../harness/client.ts'
import { ADMINISTRATION_TOKEN, Cluster, NODE_ARGV, ServerProcess } from '../harness/launch.ts'
import { freePort } from '../harness/ports.ts'
import { startBackEnds } from './back-ends.ts'
import { optionsOf } from './scrub-world.ts'

const CLIENTS = 64
const BLOCK_BYTES = 524_288
const CONNECTIONS = ['--db-min-connections=1', '--db-max-connections=2']

const folder = await mkdtemp(join(tmpdir(), 'parsec-concurrent-'))
const backEnds = await startBackEnds()
const database = await createDatabase()
await promisify(execFile)(process.execPath, [...NODE_ARGV, 'backend', 'migrate', `--db=${database.url}`])
after(async () => {
  await database.drop()
  await backEnds.stop()
  await rm(folder, { recursive: true, force: true })
})

async function directory(name: string): Promise<NodeConfig> {
  await mkdir(join(folder, name))
  return { type: 'FILE', directory: join(folder, name) }
}
/** Each server finds storages that belong to nobody, as a first one does. */
async function bucket(kind: 's3' | 'swift'): Promise<NodeConfig> {
  const own = (await backEnds.another(`concurrent-${randomBytes(6).toString('hex')}`))[kind]
  return own.store(own.url)
}
const rows: NodeConfig = { type: 'POSTGRESQL' }
const STORES: readonly (readonly [name: string, store: StoreConfig])[] = [
  ['POSTGRESQL', rows],
  ['FILE', await directory('alone')],
  ['S3', await bucket('s3')],
  ['SWIFT', await bucket('swift')],
  ['RAID1 of FILE and POSTGRESQL', { type: 'RAID1', nodes: [await directory('copy'), rows] }],
  ['RAID5 of POSTGRESQL, S3 and FILE', { type: 'RAID5', nodes: [rows, await bucket('s3'), await directory('chunks')] }],
]

for (const [name, store] of STORES) {
  test(`${CLIENTS} creates at once in ${name}, one process`, async () => {
    await database.query('TRUNCATE blockstore_node, block CASCADE')
    const port = await freePort()
    const server = new ServerProcess(
      'server',
      '',
      port,
      await freePort(),
      [
        `--administration-token=${ADMINISTRATION_TOKEN}`,
        `--db=${database.url}`,
        `--backend-addr=parsec://127.0.0.1:${port}?no_ssl=true`,
        '--email-host=MOCKED',
        ...optionsOf(store),
        ...CONNECTIONS,
      ],
      { PATH: process.env['PATH'], HOME: folder },
    )
    await server.start()
    const client = new Context({ url: server.url, token: ADMINISTRATION_TOKEN, target: 'ours', features: new Set() })
    try {
      await everyCreateIsAnswered(client, () => server.output)
    } finally {
      await client.end()
      await server.end()
    }
  })
}

test(`${CLIENTS} creates at once in POSTGRESQL, separate services`, async () => {
  const cluster = await Cluster.start({ topology: 'cluster', flags: CONNECTIONS, debug: false })
  const client = clientOf(cluster)
  try {
    await everyCreateIsAnswered(client, () => cluster.output)
  } finally {
    await client.end()
    await cluster.stop()
  }
})

async function everyCreateIsAnswered(client: Context, output: () => string): Promise<void> {
  const { alice } = await client.org()
  const owner = await client.connect(alice)
  const realm_id = await client.realm(owner, alice)
  const connections = await Promise.all(Array.from({ length: CLIENTS }, () => client.connect(alice)))
  const blocks = connections.map(() => ({ block_id: new Uuid(), block: randomBytes(BLOCK_BYTES) }))
  const created = await Promise.all(
    connections.map((connection, i) => connection.cmd('block_create', { realm_id, ...blocks[i]! })),
  )
  assert.deepEqual(statusesOf(created), ['ok'], output())
  const read = await Promise.all(
    connections.map((connection, i) => connection.cmd('block_read', { block_id: blocks[i]!.block_id })),
  )
  assert.deepEqual(statusesOf(read), ['ok'], output())
  for (const [i, { block }] of blocks.entries()) assert.ok(block.equals(read[i]!.block), 'other bytes')
}

const statusesOf = (replies: readonly { status: string }[]): string[] => [
  ...new Set(replies.map(({ status }) => status)),
]
