/** Organizations as administrators list them: pages, sorted and filtered. */
import type { DateTime } from '@parsec/shared/codec/values'
import { fragment, type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { AdministeredOrganization } from '@parsec/shared/protocol/administration'
import type { InternalRequest } from '@parsec/shared/protocol/internal'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import { EXPIRATION, type Expiration, isExpired } from '../organization/expiration.ts'
import { type ProfileCount, usersOf } from '../organization/statistics.ts'
import { TALLIED } from '../organization/tally.ts'
import { escapeLike } from '../user/search.ts'
import { ASKED, IN_ORDER, PAGE, type PageRow, pageOf, pageParameters } from './page.ts'

type Row = Expiration &
  Omit<AdministeredOrganization, 'is_expired' | 'users' | 'active_users' | 'users_per_profile_detail'> & {
    profiles: ProfileCount[]
  }

/** Columns of `organization` with its figures; behind `FROM organization … TALLIED`. */
const SHOWN = fragment`organization.organization_id, organization.created_on,
  organization.root_verify_key IS NOT NULL AS is_bootstrapped, organization.bootstrapped_on, ${EXPIRATION},
  organization.expired_on, organization.sequester_authority_certificate IS NOT NULL AS is_sequestered,
  organization.user_profile_outsider_allowed, organization.active_users_limit, organization.minimum_archiving_period,
  tallied.realms, tallied.data_size, tallied.metadata_size, (
    SELECT coalesce(json_agg(per_profile), '[]') FROM (
      SELECT profile, active, revoked FROM organization_users WHERE organization = organization._id
    ) per_profile
  ) AS profiles`

/** An id is at most so long, so that a list by id and one by figures have one form. */
export async function listOrganizations(db: Queryable, request: InternalRequest<'admin_organizations'>, now: DateTime) {
  const { search, state, limit } = request
  const page = pageParameters(request, 'organization_id')
  const pattern = search === null ? null : `%${escapeLike(search)}%`
  // Figures are looked up for those on the page only, unless they decide who is on it.
  const rows = await db.all<Row & PageRow>(sql`
    WITH asked AS (SELECT * FROM json_to_record(${page.asked}::json) ${ASKED}), matching AS (
      SELECT organization._id, organization.organization_id AS name, ${page.sign}::bigint * CASE ${page.sort}::text
        WHEN 'created_on' THEN (extract(epoch FROM organization.created_on) * 1000000)::bigint
        WHEN 'active_users' THEN (
          SELECT coalesce(sum(active), 0)::bigint FROM organization_users WHERE organization = organization._id
        )
        WHEN 'data_size' THEN (SELECT tallied.data_size FROM (VALUES (1)) one ${TALLIED})
        WHEN 'metadata_size' THEN (SELECT tallied.metadata_size FROM (VALUES (1)) one ${TALLIED})
        ELSE 0 END AS key
      FROM organization
      WHERE (${pattern}::text IS NULL OR lower(organization.organization_id) LIKE lower(${pattern}::text))
        AND CASE ${state}::text
          WHEN 'bootstrapped' THEN root_verify_key IS NOT NULL
          WHEN 'waiting' THEN root_verify_key IS NULL
          WHEN 'expired' THEN is_expired OR coalesce(expiration_date <= ${now}, FALSE)
          ELSE TRUE END
    ), ${PAGE}
    SELECT page.key, page.name, total.total, shown.*
    FROM (SELECT count(*) AS total FROM matching) total LEFT JOIN page ON TRUE LEFT JOIN LATERAL (
      SELECT ${SHOWN} FROM organization ${TALLIED} WHERE organization._id = page._id
    ) shown ON TRUE
    ${IN_ORDER}`)
  const { items, next, total } = pageOf(rows, limit)
  return { organizations: items.map(row => shown(row, now)), next, total }
}

export async function showOrganization(
  db: Queryable,
  organization_id: OrganizationID,
  now: DateTime,
): Promise<AdministeredOrganization | undefined> {
  const row = await db.one<Row>(sql`
    SELECT ${SHOWN} FROM organization ${TALLIED} WHERE organization.organization_id = ${organization_id}`)
  return row && shown(row, now)
}

/** By name, so that what a row has besides stays here. */
const shown = (row: Row, now: DateTime): AdministeredOrganization => ({
  organization_id: row.organization_id,
  created_on: row.created_on,
  is_bootstrapped: row.is_bootstrapped,
  bootstrapped_on: row.bootstrapped_on,
  is_expired: isExpired(row, now),
  expiration_date: row.expiration_date,
  expired_on: row.expired_on,
  is_sequestered: row.is_sequestered,
  user_profile_outsider_allowed: row.user_profile_outsider_allowed,
  active_users_limit: row.active_users_limit,
  minimum_archiving_period: row.minimum_archiving_period,
  realms: row.realms,
  data_size: row.data_size,
  metadata_size: row.metadata_size,
  ...usersOf(row.profiles),
})
