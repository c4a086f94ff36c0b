/**
 * Floors of the database: one client, one connection, one prepared statement after the other. Bytes travel in binary, as
 * the server's own do.
 */
import { randomBytes } from 'node:crypto'
import { Uuid } from '@parsec/shared/codec/values'
import { WireClient, type WireResult } from '@parsec/shared/postgres/wire'
import { onProcessorMs } from '../backends.ts'
import { type LoadResult, Meter } from '../meter.ts'
import { serveTasks } from '../tasks.ts'

/** `select` by key, `insert` and commit of a small row; `get` and `put` of a block. */
export type StatementsTask = {
  databaseUrl: string
  operation: 'select' | 'insert' | 'get' | 'put'
  blobBytes: number
  blockBytes: number
  warmupMs: number
  measureMs: number
}

/** `backendMs`: processor time of the connection's process. */
export type StatementsResult = LoadResult & { backendMs: number }

const ORGANIZATION = 'floor'

serveTasks(async ({ databaseUrl, operation, blobBytes, blockBytes, warmupMs, measureMs }: StatementsTask) => {
  const client = new WireClient({ connectionString: databaseUrl })
  await client.connect()
  const run = (name: string, text: string, values: unknown[]): Promise<WireResult> =>
    client.query({ name, text, values })
  await client.query('CREATE TABLE IF NOT EXISTS floor (id uuid PRIMARY KEY, blob bytea NOT NULL)')
  const [key, blob, block] = [Uuid.random(), randomBytes(blobBytes), randomBytes(blockBytes)]
  const insert = (id: Uuid) => run('insert', 'INSERT INTO floor (id, blob) VALUES ($1, $2)', [id, blob])
  const put = (id: Uuid) =>
    run('put', 'INSERT INTO block_data (organization_id, block_id, data) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING', [
      ORGANIZATION,
      id,
      block,
    ])
  await insert(key)
  await put(key)
  const operations = {
    select: () => run('select', 'SELECT blob FROM floor WHERE id = $1', [key]),
    insert: () => insert(Uuid.random()),
    get: () =>
      run('get', 'SELECT data FROM block_data WHERE organization_id = $1 AND block_id = $2', [ORGANIZATION, key]),
    put: () => put(Uuid.random()),
  }
  const { rows } = await run('pid', 'SELECT pg_backend_pid() AS pid', [])
  const { pid } = rows[0] as { pid: number }
  const before = onProcessorMs(pid)
  const meter = new Meter(warmupMs, measureMs)
  for (let startedAt = performance.now(); startedAt < meter.endsAt; startedAt = meter.count(startedAt)) {
    if ((await operations[operation]()).rowCount !== 1) throw new Error(`${operation} did nothing`)
  }
  const backendMs = onProcessorMs(pid) - before
  await client.end()
  return { ...meter.result(), backendMs } satisfies StatementsResult
})
