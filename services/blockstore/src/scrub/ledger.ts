/** What the metadata's database says about blocks, for a scrub: which exist, and the right to remove what is none. */
import { blockClaimKey } from '@parsec/shared/postgres/block-claim'
import type { Database } from '@parsec/shared/postgres/database'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { BlockID } from '../stores/store.ts'

/** `position` orders blocks by their creation; `size` is that of the client's bytes; `missedNodes` missed the upload. */
export type KnownBlock = BlockID & { position: number; size: number; missedNodes: readonly number[] }
/** `isDegraded`: only those that a node missed. */
export type Choice = { youngMs: number; isDegraded: boolean }
/** `stranger`: its organization is not of this database, so its object may belong to another server. */
export type Standing = 'block' | 'none' | 'stranger'

export class Ledger {
  readonly #database: Database
  constructor(database: Database) {
    this.#database = database
  }

  /** The last block that is older than `youngMs`, how many there are up to it, and how many are younger. */
  async extent({ youngMs, isDegraded }: Choice): Promise<{ last: number; count: number; young: number }> {
    const row = await this.#database.one<{ last: number | null; count: number; young: number }>(sql`
      SELECT max(_id) FILTER (WHERE is_old) AS last, count(*) FILTER (WHERE is_old) AS count,
        count(*) FILTER (WHERE NOT is_old) AS young
      FROM (
        SELECT _id, created_on <= now() - make_interval(secs => ${youngMs / 1000}) AS is_old FROM block
        WHERE (missed_nodes IS NOT NULL OR NOT ${isDegraded}) AND deleted_on IS NULL
      ) AS chosen`)
    return { last: row?.last ?? 0, count: row?.count ?? 0, young: row?.young ?? 0 }
  }

  /** The next blocks that are older than `youngMs`, behind `after` and up to `last`. */
  page(after: number, last: number, { youngMs, isDegraded }: Choice, limit: number): Promise<KnownBlock[]> {
    return this.#database.all<KnownBlock>(sql`
      SELECT block._id AS position, organization.organization_id, block.block_id, block.size,
        coalesce(block.missed_nodes, '{}') AS "missedNodes"
      FROM block JOIN organization ON organization._id = block.organization
      WHERE block._id > ${after} AND block._id <= ${last} AND block.deleted_on IS NULL
        AND block.created_on <= now() - make_interval(secs => ${youngMs / 1000})
        AND (block.missed_nodes IS NOT NULL OR NOT ${isDegraded})
      ORDER BY block._id LIMIT ${limit}`)
  }

  /** The last block, how many come behind `after`, and their bytes. */
  async behind(after: number): Promise<{ last: number; count: number; bytes: number }> {
    const row = await this.#database.one<{ last: number | null; count: number; bytes: number }>(sql`
      SELECT max(_id) AS last, count(*) AS count, coalesce(sum(size), 0)::bigint AS bytes FROM block
      WHERE _id > ${after} AND deleted_on IS NULL`)
    return { last: row?.last ?? 0, count: row?.count ?? 0, bytes: row?.bytes ?? 0 }
  }
  at(positions: readonly number[]): Promise<KnownBlock[]> {
    return this.#database.all<KnownBlock>(sql`
      SELECT block._id AS position, organization.organization_id, block.block_id, block.size,
        coalesce(block.missed_nodes, '{}') AS "missedNodes"
      FROM block JOIN organization ON organization._id = block.organization
      WHERE block._id = ANY (${positions}::bigint[]) AND block.deleted_on IS NULL
      ORDER BY block._id`)
  }

  /** Remembers which nodes still lack a block. */
  async setMissed({ position }: KnownBlock, missed: readonly number[]): Promise<void> {
    await this.#database.run(
      sql`UPDATE block SET missed_nodes = ${missed.length > 0 ? missed : null} WHERE _id = ${position}`,
    )
  }

  /** In the order of `blocks`. */
  standings(blocks: readonly BlockID[]): Promise<Standing[]> {
    return standings(this.#database, blocks)
  }

  /**
   * Runs `remove` for each of `blocks` that does not exist and that nobody can create meanwhile: it is claimed for
   * `waitMs`, in which creates that were already allowed end, and looked up again.
   */
  async whileClaimed(
    blocks: readonly BlockID[],
    wait: () => Promise<void>,
    remove: (index: number) => Promise<void>,
  ): Promise<void> {
    await this.#database.transaction(async tx => {
      const keys = blocks.map(({ organization_id, block_id }) => blockClaimKey(organization_id, block_id))
      const rows = await tx.all<{ had: boolean }>(sql`
        SELECT pg_try_advisory_xact_lock(key) AS had FROM unnest(${keys}::bigint[]) WITH ORDINALITY AS claim (key, n)
        ORDER BY n`)
      await wait()
      for (const [index, block] of blocks.entries()) {
        if (!rows[index]?.had) continue
        const [standing] = await standings(tx, [block])
        if (standing === 'none') await remove(index)
      }
    })
  }
}

async function standings(db: Queryable, blocks: readonly BlockID[]): Promise<Standing[]> {
  const organizations = blocks.map(({ organization_id }) => organization_id)
  const ids = blocks.map(({ block_id }) => block_id.hyphenated)
  const rows = await db.all<{ standing: Standing }>(sql`
    SELECT CASE WHEN organization._id IS NULL THEN 'stranger' WHEN block._id IS NULL THEN 'none' ELSE 'block' END
      AS standing
    FROM unnest(${organizations}::text[], ${ids}::uuid[]) WITH ORDINALITY AS asked (organization_id, block_id, n)
    LEFT JOIN organization ON organization.organization_id = asked.organization_id
    LEFT JOIN block ON block.organization = organization._id AND block.block_id = asked.block_id
    ORDER BY n`)
  return rows.map(({ standing }) => standing)
}
