/** What adding blocks to realms finds, and writes. Those for many: see `storage/gather.ts` and ADR 9. */
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import { blockClaimKey } from '@parsec/shared/postgres/block-claim'
import { fragment, type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { AuthenticatedContext } from '@parsec/shared/protocol/context'
import { CALLER_BY_KEY, GATES, JOIN_CALLER, type RealmFacts } from '../realm/gates.ts'

/** A block, and where it is to be. */
export type Wanted = { context: AuthenticatedContext; realm_id: Uuid; block_id: Uuid }
export type Place = RealmFacts & { realm: number }
/** `is_free`: no scrub removes what an abandoned create has left behind. */
export type Checked = Place & { is_taken: boolean; is_free: boolean }

/** Undefined when there is no such realm. */
export const checkBlock = (db: Queryable, { context, realm_id, block_id }: Wanted) =>
  db.one<Checked>(sql`
    SELECT realm._id AS realm, ${GATES},
      EXISTS (SELECT FROM block WHERE organization = ${context.organization} AND block_id = ${block_id}) AS is_taken,
      pg_try_advisory_xact_lock_shared(${blockClaimKey(context.organization_id, block_id)}::bigint) AS is_free
    FROM realm ${JOIN_CALLER} = ${context.user}
    WHERE realm.organization = ${context.organization} AND realm.realm_id = ${realm_id}`)

/** `n`: which of the wanted it is for, from 1; those without a realm are missing. */
export const checkBlocks = (db: Queryable, wanted: readonly Wanted[]) =>
  db.all<Checked & { n: number }>(sql`
    SELECT q.n, realm._id AS realm, ${GATES},
      (SELECT TRUE FROM block WHERE organization = q.organization AND block_id = q.block_id) IS NOT NULL AS is_taken,
      pg_try_advisory_xact_lock_shared(q.claim) AS is_free
    FROM unnest((SELECT ${wanted.map(w => w.context.organization)}::bigint[]), (SELECT ${wanted.map(w => w.realm_id)}::uuid[]),
      (SELECT ${wanted.map(w => w.block_id)}::uuid[]), (SELECT ${wanted.map(w => w.context.user)}::bigint[]),
      (SELECT ${wanted.map(w => blockClaimKey(w.context.organization_id, w.block_id))}::bigint[]))
      WITH ORDINALITY AS q (organization, realm_id, block_id, user_, claim, n)
    CROSS JOIN LATERAL (
      SELECT * FROM realm WHERE realm.organization = q.organization AND realm.realm_id = q.realm_id OFFSET 0
    ) realm
    ${CALLER_BY_KEY}`)

// One block alone, which is what comes when there is little to do, has statements of its own: those for many cost more.

/** `n`: which of the wanted it is for, from 1; those without a realm are missing. */
export function findPlaces(tx: Queryable, wanted: readonly Wanted[]): Promise<(Place & { n: number })[]> {
  return wanted.length === 1 ? findPlace(tx, wanted[0]!) : findAll(tx, wanted)
}
const findPlace = (tx: Queryable, { context, realm_id }: Wanted) =>
  tx.all<Place & { n: number }>(sql`
    SELECT 1 AS n, realm._id AS realm, ${GATES} FROM realm ${JOIN_CALLER} = ${context.user}
    WHERE realm.organization = ${context.organization} AND realm.realm_id = ${realm_id}`)
const findAll = (tx: Queryable, wanted: readonly Wanted[]) =>
  tx.all<Place & { n: number }>(sql`
    SELECT q.n, realm._id AS realm, ${GATES}
    FROM unnest((SELECT ${wanted.map(w => w.context.organization)}::bigint[]), (SELECT ${wanted.map(w => w.realm_id)}::uuid[]),
      (SELECT ${wanted.map(w => w.context.user)}::bigint[]))
      WITH ORDINALITY AS q (organization, realm_id, user_, n)
    CROSS JOIN LATERAL (
      SELECT * FROM realm WHERE realm.organization = q.organization AND realm.realm_id = q.realm_id OFFSET 0
    ) realm
    ${CALLER_BY_KEY}`)

/** A block that exists, and what the gates look at. */
export type BlockKey = Pick<Wanted, 'context' | 'block_id'>
export type Found = RealmFacts & { size: number; missed_nodes: number[] | null }

/** Undefined when there is no such block. */
export const findBlock = (db: Queryable, { context, block_id }: BlockKey) =>
  db.one<Found>(sql`
    SELECT block.size, block.missed_nodes, ${GATES}
    FROM block JOIN realm ON realm._id = block.realm ${JOIN_CALLER} = ${context.user}
    WHERE block.organization = ${context.organization} AND block.block_id = ${block_id} AND block.deleted_on IS NULL`)

/** `n`: which of the keys it is for, from 1; those without a block are missing. */
export const findBlocks = (db: Queryable, keys: readonly BlockKey[]) =>
  db.all<Found & { n: number }>(sql`
    SELECT q.n, block.size, block.missed_nodes, ${GATES}
    FROM unnest((SELECT ${keys.map(k => k.context.organization)}::bigint[]), (SELECT ${keys.map(k => k.block_id)}::uuid[]),
      (SELECT ${keys.map(k => k.context.user)}::bigint[]))
      WITH ORDINALITY AS q (organization, block_id, user_, n)
    CROSS JOIN LATERAL (
      SELECT * FROM block WHERE block.organization = q.organization AND block.block_id = q.block_id
        AND block.deleted_on IS NULL
      OFFSET 0
    ) block
    CROSS JOIN LATERAL (SELECT * FROM realm WHERE realm._id = block.realm OFFSET 0) realm
    ${CALLER_BY_KEY}`)

/** A block that is stored. */
export type NewBlock = Wanted & { size: number; missed_nodes: readonly number[]; realm: number }

/** Where a block is counted: blocks that are added to a realm at once seldom wait for each other's slot. */
const SLOT = fragment`get_byte(uuid_send(block_id), 15) % 8`

type Added = { organization: number; block_id: Uuid }

/** Those that did not exist before. */
export function addBlocks(tx: Queryable, blocks: readonly NewBlock[], now: DateTime): Promise<Added[]> {
  return blocks.length === 1 ? addBlock(tx, blocks[0]!, now) : addAll(tx, blocks, now)
}
const addBlock = (tx: Queryable, { context, block_id, realm, size, missed_nodes }: NewBlock, now: DateTime) =>
  tx.all<Added>(sql`
    WITH created AS (
      INSERT INTO block (organization, block_id, realm, author, size, created_on, missed_nodes)
      VALUES (${context.organization}, ${block_id}, ${realm}, ${context.device}, ${size}, ${now},
        ${missed_nodes.length > 0 ? missed_nodes : null})
      ON CONFLICT DO NOTHING RETURNING organization, block_id, realm, size
    ), counted AS (
      INSERT INTO realm_blocks (realm, slot, organization, size) SELECT realm, ${SLOT}, organization, size FROM created
      ON CONFLICT (realm, slot) DO UPDATE SET size = realm_blocks.size + excluded.size, is_untallied = TRUE
    )
    SELECT organization, block_id FROM created`)

/** In the order of their keys, so that two who add the same blocks never wait in a circle. None has missed a node. */
const addAll = (tx: Queryable, blocks: readonly NewBlock[], now: DateTime) =>
  tx.all<Added>(sql`
    WITH created AS (
      INSERT INTO block (organization, block_id, realm, author, size, created_on)
      SELECT organization, block_id, realm, author, size, ${now}::timestamptz
      FROM unnest((SELECT ${blocks.map(b => b.context.organization)}::bigint[]), (SELECT ${blocks.map(b => b.block_id)}::uuid[]),
        (SELECT ${blocks.map(b => b.realm)}::bigint[]), (SELECT ${blocks.map(b => b.context.device)}::bigint[]),
        (SELECT ${blocks.map(b => b.size)}::bigint[])) AS b (organization, block_id, realm, author, size)
      ORDER BY organization, block_id
      ON CONFLICT DO NOTHING RETURNING organization, block_id, realm, size
    ), counted AS (
      INSERT INTO realm_blocks (realm, slot, organization, size)
      SELECT realm, ${SLOT} AS slot, organization, sum(size) FROM created GROUP BY realm, slot, organization ORDER BY realm, slot
      ON CONFLICT (realm, slot) DO UPDATE SET size = realm_blocks.size + excluded.size, is_untallied = TRUE
    )
    SELECT organization, block_id FROM created`)
