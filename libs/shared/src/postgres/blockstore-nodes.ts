/** What the database knows of the block store's nodes: written once by the first server, changed only by a scrub. */
import type { Uuid } from '../codec/values.ts'
import type { BlockstoreNode, SampleBlock } from '../protocol/internal.ts'
import type { Transactional } from './database.ts'
import { type Queryable, sql } from './sql.ts'

/** Blocks that are looked for on a node that has no marker. */
const SAMPLES = 8

export const registeredNodes = (db: Queryable): Promise<BlockstoreNode[]> =>
  db.all<BlockstoreNode>(sql`
    SELECT index, array_id, kind, nodes, node_id, is_marked FROM blockstore_node ORDER BY index`)

/** The nodes that are registered; those of `proposal` when none is. */
export async function registerNodes(db: Queryable, proposal: readonly BlockstoreNode[]): Promise<BlockstoreNode[]> {
  const registered = await registeredNodes(db)
  if (registered.length > 0) return registered
  await insertNodes(db, proposal)
  return registeredNodes(db)
}

async function insertNodes(db: Queryable, nodes: readonly BlockstoreNode[]): Promise<void> {
  const [first] = nodes
  if (!first) return
  await db.run(sql`
    INSERT INTO blockstore_node (index, array_id, kind, nodes, node_id, is_marked)
    SELECT index, ${first.array_id}, ${first.kind}, ${first.nodes}, node_id, is_marked
    FROM unnest(
      ${nodes.map(({ index }) => index)}::smallint[],
      ${nodes.map(({ node_id }) => node_id.hyphenated)}::uuid[],
      ${nodes.map(({ is_marked }) => is_marked)}::boolean[]
    ) AS node (index, node_id, is_marked)
    ORDER BY index ON CONFLICT DO NOTHING`)
}

/** Others take the place of all nodes. */
export const replaceNodes = (db: Transactional, nodes: readonly BlockstoreNode[]): Promise<void> =>
  db.transaction(async tx => {
    await tx.run(sql`DELETE FROM blockstore_node`)
    await insertNodes(tx, nodes)
  })

export async function setMarked(db: Queryable, index: number, node_id: Uuid): Promise<void> {
  await db.run(sql`UPDATE blockstore_node SET is_marked = TRUE WHERE index = ${index} AND node_id = ${node_id}`)
}

/** The newest blocks that no node missed. */
export const sampleBlocks = (db: Queryable): Promise<SampleBlock[]> =>
  db.all<SampleBlock>(sql`
    SELECT organization.organization_id, block.block_id FROM block
    JOIN organization ON organization._id = block.organization
    WHERE block.deleted_on IS NULL AND block.missed_nodes IS NULL
    ORDER BY block._id DESC LIMIT ${SAMPLES}`)
