/** Blocks in the table `block_data` of the metadata's database, (spec 06 §7.5). */
import { Uuid } from '@parsec/shared/codec/values'
import { OperatorError } from '@parsec/shared/errors'
import type { Database } from '@parsec/shared/postgres/database'
import { sql } from '@parsec/shared/postgres/sql'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import type { StoreKind } from './kind.ts'
import { blockOfKey, type ObjectStore, objectKey, type StoredObject, StoreError } from './store.ts'

/** Rows that a list asks for at once. */
const PAGE = 1_000
const FIRST_BLOCK = Uuid.parse('0'.repeat(32))!

export type PostgresqlConfig = { type: 'POSTGRESQL' }

/** Connections of a shared pool that blocks leave to everything else. */
const SPARED_CONNECTIONS = 2

export const POSTGRESQL: StoreKind<PostgresqlConfig> = {
  type: 'POSTGRESQL',
  form: 'POSTGRESQL',
  help: 'the --db database, for trials',
  parse: () => ({ type: 'POSTGRESQL' }),
  secrets: () => [],
  keySpace: () => [],
  isDatabase: true,
  async make(_config, { database: shared, databaseConfig, log, isNode }) {
    if (databaseConfig.kind === 'MOCKED') throw new OperatorError('PostgreSQL block store is not available')
    const { target, maxConnections } = databaseConfig
    const { Database } = await import('@parsec/shared/postgres/database')
    const own = shared ? null : new Database({ target, minConnections: 0, maxConnections }, log)
    // Who waits in the queue of the node waits within its deadline; who waits for the pool would fail after a few seconds.
    const concurrency = shared ? Math.max(1, maxConnections - SPARED_CONNECTIONS) : maxConnections
    return { name: 'POSTGRESQL', store: new PostgresqlStore(shared ?? own!, own, { isNode }), concurrency }
  },
}

class PostgresqlStore implements ObjectStore {
  readonly keys = { blockstore_type: 'POSTGRESQL' }
  readonly marker = null
  readonly #database: Database
  readonly #own: Database | null
  readonly #isNode: boolean
  #isOpen = false
  /** `own` is closed with the store; `isNode`: of a RAID. */
  constructor(database: Database, own: Database | null, { isNode = false } = {}) {
    this.#database = database
    this.#own = own
    this.#isNode = isNode
  }

  /** Opens no connection at the start: the metadata service judges the database then. */
  async open(): Promise<void> {
    if (this.#isOpen) await this.#database.one(sql`SELECT 1`)
    this.#isOpen = true
  }
  async read(organization_id: OrganizationID, block_id: Uuid): Promise<Buffer> {
    const row = await this.#database.one<{ data: Buffer }>(sql`
      SELECT data FROM block_data WHERE organization_id = ${organization_id} AND block_id = ${block_id}`)
    if (!row) throw new StoreError('no such block', { missing: true })
    return row.data
  }
  /** The first write wins; in a RAID the last one, or a chunk that a failed upload left behind would ruin the block. */
  async create(organization_id: OrganizationID, block_id: Uuid, data: Buffer): Promise<void> {
    await this.#database.run(
      this.#isNode
        ? sql`INSERT INTO block_data (organization_id, block_id, data) VALUES (${organization_id}, ${block_id}, ${data})
              ON CONFLICT (organization_id, block_id) DO UPDATE SET data = EXCLUDED.data`
        : sql`INSERT INTO block_data (organization_id, block_id, data) VALUES (${organization_id}, ${block_id}, ${data})
              ON CONFLICT (organization_id, block_id) DO NOTHING`,
    )
  }
  /** Nothing tells when a row was written. */
  async *list(after: string): AsyncIterable<StoredObject> {
    const [organization_id = '', name = ''] = after.split('/')
    const block_id = Uuid.parse(name)
    let last = { organization_id, block_id: block_id ?? FIRST_BLOCK }
    let isPast = block_id !== undefined
    for (;;) {
      const rows = await this.#database.all<typeof last>(sql`
        SELECT organization_id, block_id FROM block_data
        WHERE (organization_id, block_id) >= (${last.organization_id}, ${last.block_id})
          AND NOT (${isPast} AND organization_id = ${last.organization_id} AND block_id = ${last.block_id})
        ORDER BY organization_id, block_id LIMIT ${PAGE}`)
      for (const { organization_id, block_id } of rows)
        yield { key: objectKey(organization_id, block_id), writtenOn: null }
      if (rows.length < PAGE) return
      last = rows.at(-1)!
      isPast = true
    }
  }
  async remove(key: string): Promise<void> {
    const block = blockOfKey(key)
    if (!block) return
    const { organization_id, block_id } = block
    await this.#database.run(
      sql`DELETE FROM block_data WHERE organization_id = ${organization_id} AND block_id = ${block_id}`,
    )
  }
  async close(): Promise<void> {
    await this.#own?.close()
  }
}
