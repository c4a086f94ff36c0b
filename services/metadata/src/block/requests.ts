/** What the block store asks before and after it moves data (spec 05 §10). */

import { UPLOAD_LEASE_MS } from '@parsec/shared/deadlines'
import { Unavailable } from '@parsec/shared/errors'
import { registerNodes, sampleBlocks, setMarked } from '@parsec/shared/postgres/blockstore-nodes'
import { sql } from '@parsec/shared/postgres/sql'
import type { InternalName } from '@parsec/shared/protocol/internal'
import type { InternalHandlers } from '../context.ts'
import { isDoomed } from '../organization/deletion.ts'
import { readRefusal } from '../realm/gates.ts'
import { createRefusal } from './gathered-blocks.ts'

export const blockRequests: InternalHandlers<Extract<InternalName, `block_${string}`>> = {
  /** A reservation that lasts longer than any is of a clock that has been turned back, or of another database server's. */
  block_check: async (ctx, { context, block_id, realm_id, upload }) => {
    const check = async () => {
      const checked = await ctx.blocks.check(ctx, { context, realm_id, block_id })
      // A create that was checked before the claim ends, or fails, before the remover goes on.
      if (checked && !checked.is_free) throw new Unavailable('the block is being removed')
      return { status: createRefusal(checked, ctx.now()) ?? ('ok' as const) }
    }
    const checked = await check()
    if (checked.status !== 'ok' || upload === null) return checked
    const reserved = await ctx.db.run(sql`
      INSERT INTO block_upload (organization, block_id, upload, expires_on)
      VALUES (${context.organization}, ${block_id}, ${upload}, now() + make_interval(secs => ${UPLOAD_LEASE_MS / 1000}))
      ON CONFLICT (organization, block_id) DO UPDATE SET upload = EXCLUDED.upload, expires_on = EXCLUDED.expires_on
      WHERE block_upload.upload = EXCLUDED.upload
        OR block_upload.expires_on NOT BETWEEN now() AND now() + make_interval(secs => ${(10 * UPLOAD_LEASE_MS) / 1000})`)
    // Again: who had it before may have committed the block while this waited for it.
    return reserved === 1 ? check() : { status: 'busy' }
  },

  block_commit: async (ctx, stored) => ({ status: await ctx.blocks.commit(ctx, stored) }),

  /** Also forgets uploads that ended long ago without a word. */
  block_abandon: async ({ db }, { upload }) => {
    await db.run(sql`DELETE FROM block_upload WHERE upload = ${upload} OR expires_on < now() - interval '1 hour'`)
    return {}
  },

  block_nodes: async ({ db }, { proposal }) => ({
    nodes: await registerNodes(db, proposal),
    samples: await sampleBlocks(db),
  }),
  block_node_marked: async ({ db }, { index, node_id }) => {
    await setMarked(db, index, node_id)
    return {}
  },

  block_removal: async ({ db }, { organization_id }) => ({ is_allowed: await isDoomed(db, organization_id) }),

  block_access: async (ctx, { context, block_id }) => {
    const block = await ctx.blocks.find(ctx, { context, block_id })
    if (!block) return { status: 'not_found' }
    const { size, missed_nodes } = block
    return readRefusal(block, ctx.now()) ?? { status: 'ok', size, missed_nodes: missed_nodes ?? [] }
  },
}
