/** Counters of organizations (spec 05 §13). */
import type { DateTime } from '@parsec/shared/codec/values'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { OrganizationStats } from '@parsec/shared/protocol/organization'
import { type OrganizationID, USER_PROFILES, type UserProfile } from '@parsec/shared/protocol/types'
import { TALLIED, tally } from './tally.ts'

export type StatsRow = { organization_id: OrganizationID } & OrganizationStats

export const organizationStats = async (
  db: Queryable,
  organization_id: OrganizationID,
): Promise<OrganizationStats | undefined> => {
  const [row] = await statistics(db, organization_id)
  if (!row) return undefined
  const { organization_id: _, ...stats } = row
  return stats
}

/** What one organization has now, or all by id have. People and realms count as soon as they are stored, whatever their certificates are stamped. */
export async function statistics(db: Queryable, organization_id: OrganizationID | null = null): Promise<StatsRow[]> {
  const rows = await db.all<Counted & { organization: number; untallied: number }>(sql`
    SELECT organization._id AS organization, organization.organization_id, tallied.data_size, tallied.metadata_size,
      tallied.realms, tallied.untallied, (
        SELECT coalesce(json_agg(per_profile), '[]') FROM (
          SELECT profile, active, revoked FROM organization_users WHERE organization = organization._id
        ) per_profile
      ) AS profiles
    FROM organization ${TALLIED}
    WHERE ${organization_id}::text IS NULL OR organization.organization_id = ${organization_id}
    ORDER BY organization.organization_id COLLATE "C"`)
  for (const { organization, untallied } of rows) await tally(db, organization, untallied)
  return rows.map(({ organization: _, untallied: __, ...row }) => statsRow(row))
}

/** What all organizations had at an instant, inclusive. Nothing keeps that: it is counted. */
export async function statisticsAt(db: Queryable, at: DateTime): Promise<StatsRow[]> {
  const rows = await db.all<Counted>(sql`
    SELECT organization.organization_id, data.size AS data_size, metadata.size AS metadata_size, realms.count AS realms, profiles.profiles
    FROM organization
    CROSS JOIN LATERAL (
      SELECT coalesce(sum(size), 0)::bigint AS size FROM block
      WHERE organization = organization._id AND created_on <= ${at} AND (deleted_on IS NULL OR deleted_on > ${at})
    ) data
    CROSS JOIN LATERAL (
      SELECT coalesce(sum(atom.size), 0)::bigint AS size FROM vlob JOIN vlob_atom atom ON atom.vlob = vlob._id
      WHERE vlob.organization = organization._id AND atom.created_on <= ${at}
    ) metadata
    CROSS JOIN LATERAL (
      SELECT count(*) AS count FROM realm WHERE organization = organization._id AND created_on <= ${at}
    ) realms
    CROSS JOIN LATERAL (
      SELECT coalesce(json_agg(per_profile), '[]') AS profiles FROM (
        SELECT profile, count(*) FILTER (WHERE NOT revoked) AS active, count(*) FILTER (WHERE revoked) AS revoked FROM (
          SELECT profile, revoked_on IS NOT NULL AND revoked_on <= ${at} AS revoked
          FROM user_ WHERE organization = organization._id AND created_on <= ${at}
        ) users GROUP BY profile
      ) per_profile
    ) profiles
    WHERE organization.created_on <= ${at}
    ORDER BY organization.organization_id COLLATE "C"`)
  return rows.map(statsRow)
}

type Counted = Omit<StatsRow, 'users' | 'active_users' | 'users_per_profile_detail'> & { profiles: ProfileCount[] }
export type ProfileCount = { profile: UserProfile; active: number; revoked: number }

const statsRow = ({ profiles, ...counters }: Counted): StatsRow => ({ ...counters, ...usersOf(profiles) })

/** Sums of what was counted, profiles without anybody included. */
export function usersOf(profiles: readonly ProfileCount[]) {
  const users_per_profile_detail = USER_PROFILES.map(
    profile => profiles.find(p => p.profile === profile) ?? { profile, active: 0, revoked: 0 },
  )
  const active_users = users_per_profile_detail.reduce((sum, p) => sum + p.active, 0)
  return {
    users: users_per_profile_detail.reduce((sum, p) => sum + p.revoked, active_users),
    active_users,
    users_per_profile_detail,
  }
}
