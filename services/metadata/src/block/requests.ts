/** What the block store asks before and after it moves data (spec 05 §10). */

import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import { UPLOAD_LEASE_MS } from '@parsec/shared/deadlines'
import { registerNodes, sampleBlocks, setMarked } from '@parsec/shared/postgres/blockstore-nodes'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { InternalName } from '@parsec/shared/protocol/internal'
import type { InternalHandlers } from '../context.ts'
import { isDoomed } from '../organization/deletion.ts'
import { canWrite, GATES, JOIN_CALLER, type RealmFacts, readRefusal, writeStateRefusal } from '../realm/gates.ts'
import { shareRealm } from '../realm/lock.ts'

export const blockRequests: InternalHandlers<Extract<InternalName, `block_${string}`>> = {
  block_check: async ({ db, now }, { context: { organization, user }, block_id, realm_id, upload }) => {
    const check = async () =>
      createRefusal(await blockFacts(db, organization, user, realm_id, block_id), now()) ?? { status: 'ok' as const }
    const checked = await check()
    if (checked.status !== 'ok' || upload === null) return checked
    const reserved = await db.run(sql`
      INSERT INTO block_upload (organization, block_id, upload, expires_on)
      VALUES (${organization}, ${block_id}, ${upload}, now() + make_interval(secs => ${UPLOAD_LEASE_MS / 1000}))
      ON CONFLICT (organization, block_id) DO UPDATE SET upload = EXCLUDED.upload, expires_on = EXCLUDED.expires_on
      WHERE block_upload.upload = EXCLUDED.upload OR block_upload.expires_on < now()`)
    // Again: who had it before may have committed the block while this waited for it.
    return reserved === 1 ? check() : { status: 'busy' }
  },

  block_commit: ({ db, now }, { context, block_id, realm_id, upload, size, missed_nodes }) =>
    db.transaction(
      async tx => {
        const { organization, user, device } = context
        const ended =
          upload &&
          tx.run(sql`
          DELETE FROM block_upload
          WHERE organization = ${organization} AND block_id = ${block_id} AND upload = ${upload}`)
        void shareRealm(tx, organization, realm_id)
        const facts = await blockFacts(tx, organization, user, realm_id, block_id)
        const refusal = createRefusal(facts, now())
        if (refusal) return refusal
        if (ended && (await ended) === 0) return { status: 'busy' }
        const missed = missed_nodes.length > 0 ? missed_nodes : null
        const created = await tx.run(sql`
          WITH created AS (
            INSERT INTO block (organization, block_id, realm, author, size, created_on, missed_nodes)
            VALUES (${organization}, ${block_id}, ${facts!.realm}, ${device}, ${size}, ${now()}, ${missed})
            ON CONFLICT DO NOTHING RETURNING organization, realm, size
          )
          INSERT INTO realm_blocks (realm, slot, organization, size)
          SELECT realm, ${slotOf(block_id)}, organization, size FROM created
          ON CONFLICT (realm, slot) DO UPDATE SET size = realm_blocks.size + excluded.size, is_untallied = TRUE`)
        return created === 1 ? { status: 'ok' } : { status: 'already_exists' }
      },
      reply => reply.status === 'ok',
    ),

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

  block_access: async ({ db, now }, { context, block_id }) => {
    const realm = await db.one<RealmFacts & { size: number; missed_nodes: number[] | null }>(sql`
      SELECT block.size, block.missed_nodes, ${GATES}
      FROM block JOIN realm ON realm._id = block.realm ${JOIN_CALLER} = ${context.user}
      WHERE block.organization = ${context.organization} AND block.block_id = ${block_id} AND block.deleted_on IS NULL`)
    if (!realm) return { status: 'not_found' }
    return readRefusal(realm, now()) ?? { status: 'ok', size: realm.size, missed_nodes: realm.missed_nodes ?? [] }
  },
}

/** Where the block is counted: blocks that are added to a realm at once seldom wait for each other's slot. */
const slotOf = (block_id: Uuid): number => Number.parseInt(block_id.hex.slice(-1), 16) % BLOCK_SLOTS
const BLOCK_SLOTS = 8

type BlockFacts = RealmFacts & { realm: number; is_taken: boolean }

/** Undefined when there is no such realm. */
const blockFacts = (db: Queryable, organization: number, user: number, realm_id: Uuid, block_id: Uuid) =>
  db.one<BlockFacts>(sql`
    SELECT realm._id AS realm, ${GATES},
      EXISTS (SELECT FROM block WHERE organization = ${organization} AND block_id = ${block_id}) AS is_taken
    FROM realm ${JOIN_CALLER} = ${user}
    WHERE realm.organization = ${organization} AND realm.realm_id = ${realm_id}`)

/** Lines 1 to 5 of `block_create`. */
function createRefusal(facts: BlockFacts | undefined, now: DateTime) {
  if (!facts) return { status: 'not_found' as const }
  const refusal = writeStateRefusal(facts, now)
  if (refusal) return refusal
  if (!canWrite(facts.role)) return { status: 'not_allowed' as const }
  if (facts.is_taken) return { status: 'already_exists' as const }
  return undefined
}
