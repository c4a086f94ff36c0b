/** Contents of blocks from the source's database into any store, each read back before the next page (spec 07 §5). */
import { createHash } from 'node:crypto'
import { withDeadline } from '@parsec/blockstore/stores/deadline'
import type { BlockStore } from '@parsec/blockstore/stores/store'
import { Uuid } from '@parsec/shared/codec/values'
import { BLOCK_COPY_MS } from '@parsec/shared/deadlines'
import { OperatorError } from '@parsec/shared/errors'
import type { BulkSession } from '@parsec/shared/postgres/bulk'
import type { Origin } from './tables.ts'
import { type Record, recordBlocks } from './target.ts'

/** Blocks that are read and written at once: of the largest, they are 64 MiB. */
const AT_ONCE = 4
const FIRST = '00000000-0000-0000-0000-000000000000'

export async function copyBlocks(
  { reader, writer, store }: { reader: BulkSession; writer: BulkSession; store: BlockStore },
  { organization, organization_id }: Pick<Origin, 'organization' | 'organization_id'>,
  { source, record, onBlock }: { source: string; record: Record | undefined; onBlock: (bytes: number) => void },
): Promise<void> {
  // Another source's blocks are other blocks.
  let after = (record?.source === source && record.blocks_up_to) || null
  for (;;) {
    const rows = await reader.rows<{ block_id: string; data: Buffer }>(
      `SELECT content.block_id::text, content.data FROM block_data content
       JOIN block ON block.organization = $1 AND block.block_id = content.block_id
       WHERE content.organization_id = $2 AND content.block_id ${after === null ? '>=' : '>'} $3::uuid
       ORDER BY content.block_id LIMIT ${AT_ONCE}`,
      [organization, organization_id, after ?? FIRST],
    )
    await Promise.all(rows.map(row => copyBlock(store, organization_id, Uuid.parse(row.block_id)!, row.data)))
    for (const { data } of rows) onBlock(data.length)
    if (rows.length > 0) {
      after = rows.at(-1)!.block_id
      await recordBlocks(writer, { organization_id, source, block_id: after })
    }
    if (rows.length < AT_ONCE) return
  }
}

/** Rejects unless it is read back as it was written. */
export const copyBlock = (store: BlockStore, organization_id: string, block_id: Uuid, data: Buffer): Promise<void> =>
  withDeadline(null, BLOCK_COPY_MS, async signal => {
    const missed = await store.create(organization_id, block_id, data, signal)
    if (missed.length > 0)
      throw new OperatorError(`--blockstore: node ${missed.join(', ')} does not take blocks: it must be repaired first`)
    const back = await store.read(organization_id, block_id, { size: data.length, missedNodes: [] }, signal)
    if (back.length !== data.length || !digest(back).equals(digest(data)))
      throw new OperatorError(
        `--blockstore: block ${block_id.hyphenated} of ${organization_id} is not read back as it was written`,
      )
  })
const digest = (data: Buffer): Buffer => createHash('sha256').update(data).digest()
