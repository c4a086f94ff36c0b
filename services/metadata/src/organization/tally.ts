/**
 * What an organization has, kept where it changes (spec 05 §13). A write adds to its realm's own figures only, so that
 * writes to different realms never wait for each other; from time to time those are brought into the organization's tally.
 * Tally and what is not in it yet are read in one statement, which makes the sum exact at any time.
 */
import type { DateTime } from '@parsec/shared/codec/values'
import { fragment, type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { UserProfile } from '@parsec/shared/protocol/types'

/** Sizes and realms of `organization` now: a lateral join as `tallied`. */
export const TALLIED = fragment`
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(vlobs_size + copies_size - coalesce(tallied_size, 0)), 0)::bigint AS size,
      count(*) FILTER (WHERE tallied_size IS NULL) AS realms, count(*) AS rows
    FROM realm WHERE organization = organization._id AND is_untallied
  ) changed
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(size - tallied_size), 0)::bigint AS size, count(*) AS rows
    FROM realm_blocks WHERE organization = organization._id AND is_untallied
  ) added
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(size), 0)::bigint AS size FROM early_version
    WHERE organization = organization._id AND created_on > now()
  ) early
  LEFT JOIN organization_tally tally ON tally.organization = organization._id
  CROSS JOIN LATERAL (
    SELECT coalesce(tally.realms, 0) + changed.realms AS realms,
      coalesce(tally.metadata_size, 0) + changed.size - early.size AS metadata_size,
      coalesce(tally.data_size, 0) + added.size AS data_size,
      changed.rows + added.rows AS untallied
  ) tallied`

/** So many rows may be read beside the tally before they are brought into it. */
const MAX_UNTALLIED = 100
/** Most rows of either kind that are brought in at once. */
const TALLY_BATCH = 1000

/** Brings in what has changed when it is much; skips realms that are being written. */
export async function tally(db: Queryable, organization: number, untallied: number): Promise<void> {
  if (untallied <= MAX_UNTALLIED) return
  await db.run(sql`
    WITH changed AS (
      UPDATE realm SET tallied_size = vlobs_size + copies_size, is_untallied = FALSE
      FROM (
        SELECT _id, tallied_size AS before FROM realm WHERE organization = ${organization} AND is_untallied
        LIMIT ${TALLY_BATCH} FOR NO KEY UPDATE SKIP LOCKED
      ) locked
      WHERE realm._id = locked._id
      RETURNING tallied_size - coalesce(locked.before, 0) AS size, (locked.before IS NULL)::int AS realms
    ), added AS (
      UPDATE realm_blocks SET tallied_size = size, is_untallied = FALSE
      FROM (
        SELECT realm, slot, tallied_size AS before FROM realm_blocks WHERE organization = ${organization} AND is_untallied
        LIMIT ${TALLY_BATCH} FOR NO KEY UPDATE SKIP LOCKED
      ) locked
      WHERE realm_blocks.realm = locked.realm AND realm_blocks.slot = locked.slot
      RETURNING size - locked.before AS size
    )
    INSERT INTO organization_tally (organization, realms, metadata_size, data_size)
    SELECT ${organization}, coalesce(sum(realms), 0), coalesce(sum(size), 0), (SELECT coalesce(sum(size), 0) FROM added)
    FROM changed
    ON CONFLICT (organization) DO UPDATE SET realms = organization_tally.realms + excluded.realms,
      metadata_size = organization_tally.metadata_size + excluded.metadata_size,
      data_size = organization_tally.data_size + excluded.data_size`)
}

/** Of the versions, those whose instant is still to come count from then on. The caller holds the locks of their realms. */
export function noteEarly(
  tx: Queryable,
  now: DateTime,
  versions: readonly { organization: number; realm: number; timestamp: DateTime; size: number }[],
): void {
  const early = versions.filter(({ timestamp }) => timestamp.isAfter(now))
  if (early.length === 0) return
  void tx.run(sql`
    DELETE FROM early_version WHERE realm = ANY(${early.map(v => v.realm)}::bigint[]) AND created_on <= now()`)
  void tx.run(sql`
    INSERT INTO early_version (organization, realm, size, created_on)
    SELECT * FROM unnest(${early.map(v => v.organization)}::bigint[], ${early.map(v => v.realm)}::bigint[],
      ${early.map(v => v.size)}::bigint[], ${early.map(v => v.timestamp)}::timestamptz[])`)
}

/** A user more, or one who is revoked now. The caller holds the lock of the organization's people. */
export const countUser = (tx: Queryable, organization: number, profile: UserProfile, change: 'created' | 'revoked') =>
  tx.run(
    change === 'created'
      ? sql`
        INSERT INTO organization_users (organization, profile, active, revoked) VALUES (${organization}, ${profile}, 1, 0)
        ON CONFLICT (organization, profile) DO UPDATE SET active = organization_users.active + 1`
      : sql`
        UPDATE organization_users SET active = active - 1, revoked = revoked + 1
        WHERE organization = ${organization} AND profile = ${profile}`,
  )
