/** Blocks in the table `block_data` of the metadata's database, (spec 06 §7.5). */
import { Uuid } from '@parsec/shared/codec/values'
import type { Database } from '@parsec/shared/postgres/database'
import { sql } from '@parsec/shared/postgres/sql'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import { blockOfKey, type ObjectStore, objectKey, type StoredObject, StoreError } from './store.ts'

/** Rows that a list asks for at once. */
const PAGE = 1_000
const FIRST_BLOCK = Uuid.parse('0'.repeat(32))!

export class PostgresqlStore implements ObjectStore {
  readonly keys = { blockstore_type: 'POSTGRESQL' }
  readonly #database: Database
  readonly #own: Database | null
  readonly #isNode: boolean
  /** `own` is closed with the store; `isNode`: of a RAID. */
  constructor(database: Database, own: Database | null, { isNode = false } = {}) {
    this.#database = database
    this.#own = own
    this.#isNode = isNode
  }

  /** Nothing to check: the metadata service judges the database, and this store works again when it is back. */
  async open(): Promise<void> {}
  /** As base64: the driver reads bytes as hexadecimal text, which is half as long again and takes twice the time. */
  async read(organization_id: OrganizationID, block_id: Uuid): Promise<Buffer> {
    const row = await this.#database.one<{ data: string }>(sql`
      SELECT encode(data, 'base64') AS data FROM block_data
      WHERE organization_id = ${organization_id} AND block_id = ${block_id}`)
    if (!row) throw new StoreError('no such block', { missing: true })
    return Buffer.from(row.data, 'base64')
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
    let last = blockOfKey(after) ?? { organization_id: '', block_id: FIRST_BLOCK }
    for (;;) {
      const rows = await this.#database.all<typeof last>(sql`
        SELECT organization_id, block_id FROM block_data
        WHERE (organization_id, block_id) > (${last.organization_id}, ${last.block_id})
        ORDER BY organization_id, block_id LIMIT ${PAGE}`)
      for (const { organization_id, block_id } of rows)
        yield { key: objectKey(organization_id, block_id), writtenOn: null }
      if (rows.length < PAGE) return
      last = rows.at(-1)!
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
