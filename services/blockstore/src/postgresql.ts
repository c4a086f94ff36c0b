/** Blocks in the table `block_data` of the metadata's database, (spec 06 §7.5). */
import type { Uuid } from '@parsec/shared/codec/values'
import { type Database, sql } from '@parsec/shared/postgres'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import { type BlockStore, type NodeStatus, StoreError } from './store.ts'

export class PostgresqlStore implements BlockStore {
  readonly keys = { blockstore_type: 'POSTGRESQL' }
  readonly #database: Database
  readonly #own: Database | null
  /** `own` is closed with the store. */
  constructor(database: Database, own: Database | null) {
    this.#database = database
    this.#own = own
  }

  /** Nothing to check: the metadata service judges the database, and this store works again when it is back. */
  async open(): Promise<void> {}
  async read(organization_id: OrganizationID, block_id: Uuid): Promise<Buffer> {
    const row = await this.#database.one<{ data: Buffer }>(
      sql`SELECT data FROM block_data WHERE organization_id = ${organization_id} AND block_id = ${block_id}`,
    )
    if (!row) throw new StoreError('no such block', { missing: true })
    return row.data
  }
  /** The first write wins. */
  async create(organization_id: OrganizationID, block_id: Uuid, data: Buffer): Promise<void> {
    await this.#database.run(
      sql`INSERT INTO block_data (organization_id, block_id, data) VALUES (${organization_id}, ${block_id}, ${data})
          ON CONFLICT (organization_id, block_id) DO NOTHING`,
    )
  }
  nodes(): readonly NodeStatus[] {
    return []
  }
  async close(): Promise<void> {
    await this.#own?.close()
  }
}
