/** What every scenario plays on: a migrated database with an organization, its devices, realms, vlobs and blocks. */
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { encode } from '@parsec/shared/codec/msgpack'
import { DateTime, Uuid } from '@parsec/shared/codec/values'
import { type Databases, query } from './backing.ts'
import { connect, expectOk, type Identity, signingKeyOf, type Wire } from './client.ts'
import { bootstrapOrganization, createDevice, createRealm, createVlob } from './identity.ts'
import { createScript, type Recording, type Script } from './pgbench.ts'
import type { LoadProcess } from './processes.ts'
import type { RecordedStatement } from './record-sql.ts'
import type { Buckets } from './s3.ts'
import { ADMINISTRATION_TOKEN, migrate, recordingSqlTo, startOneProcess } from './server.ts'

export const BLOB_BYTES = 300
export const BLOCK_BYTES = 512 * 1024
const ORGANIZATION = 'Bench'
/** A sweep of the outbox may fall between the statements of a command; then it is recorded again. */
const RECORDING_ATTEMPTS = 20
const OUTBOX_CARE = /DELETE FROM outbox|SKIP LOCKED/

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
  scripts: { readonly vlob_update: Script; readonly vlob_read: Script }
  load: LoadProcess
}

/** `connections`: most that any scenario loads at once; `clients`: of pgbench, and readers and writers of blocks. */
export async function setStage(
  { natsUrl, databases, buckets, folder, load }: Pick<Stage, 'natsUrl' | 'databases' | 'buckets' | 'folder' | 'load'>,
  { connections, clients }: { connections: number; clients: number },
): Promise<Stage> {
  const databaseUrl = await databases.create('main')
  await migrate(databaseUrl)
  const record = join(folder, 'statements.jsonl')
  writeFileSync(record, '')
  const server = await startOneProcess(databaseUrl, { nodeOptions: recordingSqlTo(record) })
  try {
    const author = await bootstrapOrganization(server.httpUrl, ADMINISTRATION_TOKEN, ORGANIZATION)
    const wire = await connect(server.wsUrls[0]!, author, signingKeyOf(author))
    const listener = await createDevice(wire, author, 'author@listener')
    const [realms, vlobs] = await createVlobs(wire, author, connections)
    const blocks = await createBlocks(wire, hex(realms.slice(0, clients)))

    // pgbench works on vlobs of its own, so that the versions of the others stay what their clients believe.
    const [, recorded] = await createVlobs(wire, author, clients)
    const recordings = { vlob_update: [] as Recording[], vlob_read: [] as Recording[] }
    for (const vlob of recorded) {
      recordings.vlob_update.push(await recordTwice(wire, updates(vlob), vlob, record))
      recordings.vlob_read.push(await recordTwice(wire, () => read(vlob), vlob, record))
    }
    wire.close()
    await server.stop()

    await createCeilingDevice(databaseUrl, author)
    const scripts = {
      vlob_update: await createScript(
        databaseUrl,
        recordings.vlob_update,
        'vlob_update',
        join(folder, 'vlob_update.sql'),
      ),
      vlob_read: await createScript(databaseUrl, recordings.vlob_read, 'vlob_read', join(folder, 'vlob_read.sql')),
    }
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

const read = (vlob_id: Uuid): Buffer =>
  encode({ cmd: 'vlob_read', encryption_revision: 1, vlob_id, version: null, timestamp: null })

/** Makes the update to version 2, then 3, and so on. */
function updates(vlob_id: Uuid): () => Buffer {
  const written = { version: 1 }
  return () =>
    encode({
      cmd: 'vlob_update',
      encryption_revision: 1,
      vlob_id,
      timestamp: DateTime.now(),
      version: ++written.version,
      blob: randomBytes(BLOB_BYTES),
      sequester_blob: null,
    })
}

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

/** Runs a command about `vlob_id` twice in a row and returns the statements that the server ran for it. */
async function recordTwice(wire: Wire, next: () => Buffer, vlob_id: Uuid, file: string): Promise<Recording> {
  const recordOnce = async (): Promise<RecordedStatement[]> => {
    writeFileSync(file, '')
    wire.send(next())
    expectOk(await wire.receive())
    const lines = readFileSync(file, 'utf8').trim().split('\n')
    const statements = lines.map(line => JSON.parse(line) as RecordedStatement)
    const connection = statements.find(({ values }) => values.includes(vlob_id.hex))?.connection
    return statements.filter(statement => statement.connection === connection)
  }
  const isClean = (statements: readonly RecordedStatement[]) => !statements.some(({ text }) => OUTBOX_CARE.test(text))
  for (let attempt = 0; attempt < RECORDING_ATTEMPTS; attempt++) {
    const recording = { first: await recordOnce(), second: await recordOnce() }
    if (isClean(recording.first) && isClean(recording.second)) return recording
  }
  throw new Error('the statements of a command cannot be told from those of the outbox')
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
