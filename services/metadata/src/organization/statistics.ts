/** Counters of organizations (spec 05 §13). */
import type { DateTime } from '@parsec/shared/codec/values'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { OrganizationStats } from '@parsec/shared/protocol/organization'
import { type OrganizationID, USER_PROFILES, type UserProfile } from '@parsec/shared/protocol/types'

export type StatsRow = { organization_id: OrganizationID } & OrganizationStats

export const organizationStats = async (
  db: Queryable,
  organization_id: OrganizationID,
  now: DateTime,
): Promise<OrganizationStats | undefined> => {
  const [row] = await statistics(db, { organization_id, now })
  if (!row) return undefined
  const { organization_id: _, ...stats } = row
  return stats
}

/**
 * Counters of one organization, or of all by id (spec 05 §13). `at` looks back at an instant, inclusive; without it
 * people and realms count as soon as they are stored, whatever their certificates are stamped.
 */
export async function statistics(
  db: Queryable,
  {
    organization_id = null,
    at = null,
    now,
  }: { organization_id?: OrganizationID | null; at?: DateTime | null; now: DateTime },
): Promise<StatsRow[]> {
  const until = at ?? now
  const rows = await db.all<
    Omit<StatsRow, 'users' | 'active_users' | 'users_per_profile_detail'> & { profiles: ProfileCount[] }
  >(sql`
    SELECT organization.organization_id, data.size AS data_size, metadata.size AS metadata_size, realms.count AS realms, profiles.profiles
    FROM organization
    CROSS JOIN LATERAL (
      SELECT coalesce(sum(size), 0)::bigint AS size FROM block
      WHERE organization = organization._id AND created_on <= ${until} AND (deleted_on IS NULL OR deleted_on > ${until})
    ) data
    CROSS JOIN LATERAL (
      SELECT coalesce(sum(atom.size), 0)::bigint AS size FROM vlob JOIN vlob_atom atom ON atom.vlob = vlob._id
      WHERE vlob.organization = organization._id AND atom.created_on <= ${until}
    ) metadata
    CROSS JOIN LATERAL (
      SELECT count(*) AS count FROM realm
      WHERE organization = organization._id AND (${at}::timestamptz IS NULL OR created_on <= ${at})
    ) realms
    CROSS JOIN LATERAL (
      SELECT coalesce(json_agg(per_profile), '[]') AS profiles FROM (
        SELECT profile, count(*) FILTER (WHERE NOT revoked) AS active, count(*) FILTER (WHERE revoked) AS revoked FROM (
          SELECT profile, revoked_on IS NOT NULL AND (${at}::timestamptz IS NULL OR revoked_on <= ${at}) AS revoked
          FROM user_ WHERE organization = organization._id AND (${at}::timestamptz IS NULL OR created_on <= ${at})
        ) users GROUP BY profile
      ) per_profile
    ) profiles
    WHERE (${at}::timestamptz IS NULL OR organization.created_on <= ${at})
      AND (${organization_id}::text IS NULL OR organization.organization_id = ${organization_id})
    ORDER BY organization.organization_id COLLATE "C"`)
  return rows.map(({ profiles, ...counters }) => {
    const users_per_profile_detail = USER_PROFILES.map(
      profile => profiles.find(p => p.profile === profile) ?? { profile, active: 0, revoked: 0 },
    )
    const active_users = users_per_profile_detail.reduce((sum, p) => sum + p.active, 0)
    return {
      ...counters,
      users: users_per_profile_detail.reduce((sum, p) => sum + p.revoked, active_users),
      active_users,
      users_per_profile_detail,
    }
  })
}
type ProfileCount = { profile: UserProfile; active: number; revoked: number }
