/** What every scenario plays on: a migrated database with an organization, its devices, realms, vlobs and blocks. */
import { randomBytes } from 'node:crypto'
import { Uuid } from '@parsec/shared/codec/values'
import { type Databases, query } from './backing.ts'
import { connect, type Identity, signingKeyOf, type Wire } from './client.ts'
import { bootstrapOrganization, createDevice, createRealm, createVlob } from './identity.ts'
import { createScripts, type Scripts } from './pgbench.ts'
import type { LoadProcess } from './processes.ts'
import type { Buckets } from './s3.ts'
import { ADMINISTRATION_TOKEN, migrate, startOneProcess } from './server.ts'

export const BLOB_BYTES = 300
export const BLOCK_BYTES = 512 * 1024
const ORGANIZATION = 'Bench'
/** Ids are 32 hex digits, one per connection; vlob `i` is the only one of realm `i`. */
export type Stage = {
  natsUrl: string
  databases: Databases
  buckets: Buckets
  databaseUrl: string
  folder: string
  author: Identity
  listener: Identity
  realms: readonly string[]
  vlobs: readonly string[]
  blocks: readonly string[]
  scripts: Scripts
  load: LoadProcess
}

/** `connections`: most that any scenario loads at once; `clients`: of pgbench, and readers and writers of blocks. */
export async function setStage(
  { natsUrl, databases, buckets, folder, load }: Pick<Stage, 'natsUrl' | 'databases' | 'buckets' | 'folder' | 'load'>,
  { connections, clients }: { connections: number; clients: number },
): Promise<Stage> {
  const databaseUrl = await databases.create('main')
  await migrate(databaseUrl)
  const server = await startOneProcess(databaseUrl)
  try {
    const author = await bootstrapOrganization(server.httpUrl, ADMINISTRATION_TOKEN, ORGANIZATION)
    const wire = await connect(server.wsUrls[0]!, author, signingKeyOf(author))
    const listener = await createDevice(wire, author, 'author@listener')
    const [realms, vlobs] = await createVlobs(wire, author, connections)
    const blocks = await createBlocks(wire, hex(realms.slice(0, clients)))
    wire.close()
    await server.stop()

    await createCeilingDevice(databaseUrl, author)
    const scripts = await createScripts(databaseUrl, folder, BLOB_BYTES)
    await databases.create('template', 'main')
    return {
      natsUrl,
      databases,
      buckets,
      databaseUrl,
      folder,
      author,
      listener,
      realms: hex(realms),
      vlobs: hex(vlobs),
      blocks,
      scripts,
      load,
    }
  } finally {
    await server.stop()
  }
}

const hex = (ids: readonly Uuid[]): string[] => ids.map(id => id.hex)

async function createVlobs(wire: Wire, author: Identity, count: number): Promise<[realms: Uuid[], vlobs: Uuid[]]> {
  const realms: Uuid[] = []
  const vlobs: Uuid[] = []
  for (let i = 0; i < count; i++) {
    const realm_id = await createRealm(wire, author)
    realms.push(realm_id)
    vlobs.push(await createVlob(wire, realm_id, randomBytes(BLOB_BYTES)))
  }
  return [realms, vlobs]
}

/** One block in each realm, as the user that `wire` is connected as. Ids are 32 hex digits. */
export async function createBlocks(wire: Wire, realms: readonly string[]): Promise<string[]> {
  const blocks: string[] = []
  for (const realm of realms) {
    const block_id = Uuid.random()
    await wire.request({
      cmd: 'block_create',
      block_id,
      realm_id: Uuid.parse(realm)!,
      block: randomBytes(BLOCK_BYTES),
    })
    blocks.push(block_id.hex)
  }
  return blocks
}

/** What the ceiling of the handshake selects from: among a thousand keys, the one that the load signs with. */
async function createCeilingDevice(databaseUrl: string, author: Identity): Promise<void> {
  await query(databaseUrl, 'CREATE TABLE ceiling_device (device_id text PRIMARY KEY, verify_key bytea NOT NULL)')
  await query(
    databaseUrl,
    `INSERT INTO ceiling_device SELECT 'other@' || n, sha256(n::text::bytea) FROM generate_series(1, 1000) n`,
  )
  await query(databaseUrl, 'INSERT INTO ceiling_device SELECT device_id, verify_key FROM device WHERE device_id = $1', [
    author.device_id,
  ])
}
