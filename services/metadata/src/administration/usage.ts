/** Who and what takes how much room in an organization: from the figures that realms keep of themselves. */
import { limits } from '@parsec/shared/limits'
import { fragment, type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { RealmUsage, UserUsage } from '@parsec/shared/protocol/administration'
import type { InternalRequest } from '@parsec/shared/protocol/internal'
import { ASKED, IN_ORDER, PAGE, type PageRow, pageOf, pageParameters } from './page.ts'

/** Bytes of the blocks of `realm`. */
const DATA_SIZE = fragment`(SELECT coalesce(sum(size), 0)::bigint FROM realm_blocks WHERE realm_blocks.realm = realm._id)`
const METADATA_SIZE = fragment`(realm.vlobs_size + realm.copies_size)`

/** Undefined when there is no such organization. */
export async function realmUsage(db: Queryable, request: InternalRequest<'admin_realm_usage'>) {
  const { organization_id, limit } = request
  const page = pageParameters(request, 'realm_id')
  const rows = await db.all<RealmUsage & PageRow>(sql`
    WITH asked AS (SELECT * FROM json_to_record(${page.asked}::json) ${ASKED}), organization AS MATERIALIZED (
      SELECT _id FROM organization WHERE organization_id = ${organization_id}
    ), matching AS (
      SELECT realm._id, realm.realm_id::text AS name, ${page.sign}::bigint * CASE ${page.sort}::text
        WHEN 'size' THEN ${DATA_SIZE} + ${METADATA_SIZE}
        ELSE (extract(epoch FROM realm.created_on) * 1000000)::bigint END AS key
      FROM organization JOIN realm ON realm.organization = organization._id
    ), ${PAGE}
    SELECT page.key, page.name, (SELECT count(*) FROM matching) AS total, realm.realm_id, realm.created_on,
      ARRAY(
        SELECT user_.user_id FROM realm_user JOIN user_ ON user_._id = realm_user.user_
        WHERE realm_user.realm = realm._id AND realm_user.role = 'OWNER'
        ORDER BY user_._id LIMIT ${limits.administration_owners.value}
      ) AS owners,
      (SELECT count(*) FROM realm_user WHERE realm_user.realm = realm._id AND role IS NOT NULL) AS members,
      ${DATA_SIZE} AS data_size, ${METADATA_SIZE} AS metadata_size, realm.encryption_revision, realm.archiving,
      realm.deletion_date, realm.maintenance_type AS maintenance
    FROM organization LEFT JOIN page ON TRUE LEFT JOIN realm ON realm._id = page._id
    ${IN_ORDER}`)
  if (rows.length === 0) return undefined
  const { items, next, total } = pageOf(rows, limit)
  return { realms: items.map(({ key: _, name: __, total: ___, ...realm }) => realm), next, total }
}

/** Undefined when there is no such organization. */
export async function userUsage(db: Queryable, request: InternalRequest<'admin_user_usage'>) {
  const { organization_id, limit } = request
  const page = pageParameters(request, 'user_id')
  const rows = await db.all<Omit<UserUsage, 'name'> & { label: string | null } & PageRow>(sql`
    WITH asked AS (SELECT * FROM json_to_record(${page.asked}::json) ${ASKED}), organization AS MATERIALIZED (
      SELECT _id FROM organization WHERE organization_id = ${organization_id}
    ), sized AS MATERIALIZED (
      SELECT realm._id, ${DATA_SIZE} AS data_size, ${METADATA_SIZE} AS metadata_size
      FROM organization JOIN realm ON realm.organization = organization._id
    ), used AS (
      SELECT realm_user.user_, count(*) AS realms, count(*) FILTER (WHERE role = 'OWNER') AS owned_realms,
        coalesce(sum(data_size) FILTER (WHERE role = 'OWNER'), 0)::bigint AS data_size,
        coalesce(sum(metadata_size) FILTER (WHERE role = 'OWNER'), 0)::bigint AS metadata_size
      FROM sized JOIN realm_user ON realm_user.realm = sized._id AND realm_user.role IS NOT NULL
      GROUP BY realm_user.user_
    ), matching AS (
      SELECT user_._id, user_.user_id AS name, coalesce(realms, 0) AS realms, coalesce(owned_realms, 0) AS owned_realms,
        coalesce(data_size, 0) AS data_size, coalesce(metadata_size, 0) AS metadata_size,
        CASE ${page.sort}::text WHEN 'size' THEN ${page.sign}::bigint * coalesce(data_size + metadata_size, 0) ELSE 0 END AS key
      FROM organization JOIN user_ ON user_.organization = organization._id LEFT JOIN used ON used.user_ = user_._id
    ), ${PAGE}
    SELECT page.key, page.name, (SELECT count(*) FROM matching) AS total, page.name AS user_id, human.email, human.label,
      page.realms, page.owned_realms, page.data_size, page.metadata_size
    FROM organization LEFT JOIN page ON TRUE LEFT JOIN user_ ON user_._id = page._id
      LEFT JOIN human ON human._id = user_.human
    ${IN_ORDER}`)
  if (rows.length === 0) return undefined
  const { items, next, total } = pageOf(rows, limit)
  const users = items.map(
    ({ user_id, email, label, realms, owned_realms, data_size, metadata_size }): UserUsage => ({
      user_id,
      email,
      name: label,
      realms,
      owned_realms,
      data_size,
      metadata_size,
    }),
  )
  return { users, next, total }
}
