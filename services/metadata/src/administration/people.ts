/** Users and devices of an organization as administrators see them. */
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { AdministeredDevice, AdministeredPerson } from '@parsec/shared/protocol/administration'
import type { InternalRequest } from '@parsec/shared/protocol/internal'
import type { OrganizationID, UserID } from '@parsec/shared/protocol/types'
import type { Deps } from '../context.ts'
import { transaction } from '../storage/transaction.ts'
import { EMAIL, LABEL, textPattern, USER_ID } from '../user/search.ts'
import { ASKED, IN_ORDER, PAGE, type PageRow, pageOf, pageParameters } from './page.ts'

/** Who it is about; the row that stands for an empty page has no user. */
type PersonRow = Person & PageRow
type Person = Omit<AdministeredPerson, 'name'> & { label: string | null }

/** Undefined when there is no such organization. */
export async function listUsers(db: Queryable, request: InternalRequest<'admin_users'>) {
  const { organization_id, search, state, limit } = request
  const page = pageParameters(request, 'user_id')
  const pattern = search === null ? null : textPattern(search)
  const rows = await db.all<PersonRow>(sql`
    WITH asked AS (SELECT * FROM json_to_record(${page.asked}::json) ${ASKED}), organization AS MATERIALIZED (
      SELECT _id FROM organization WHERE organization_id = ${organization_id}
    ), matching AS (
      SELECT user_._id, user_.user_id AS name, ${page.sign}::bigint * CASE ${page.sort}::text
        WHEN 'created_on' THEN (extract(epoch FROM user_.created_on) * 1000000)::bigint
        WHEN 'last_seen_on' THEN coalesce((
          SELECT (extract(epoch FROM max(seen_on)) * 1000000)::bigint FROM device_seen WHERE user_ = user_._id
        ), 0)
        ELSE 0 END AS key
      FROM organization JOIN user_ ON user_.organization = organization._id LEFT JOIN human ON human._id = user_.human
      WHERE (${pattern}::text IS NULL OR ${USER_ID} LIKE ${pattern} OR ${EMAIL} LIKE ${pattern}
          OR ${LABEL} LIKE ${pattern})
        AND CASE ${state}::text
          WHEN 'active' THEN user_.revoked_on IS NULL
          WHEN 'revoked' THEN user_.revoked_on IS NOT NULL
          WHEN 'frozen' THEN user_.frozen
          ELSE TRUE END
    ), ${PAGE}
    SELECT page.key, page.name, (SELECT count(*) FROM matching) AS total, user_.user_id, human.email,
      human.label, user_.profile, user_.created_on, user_.revoked_on, user_.frozen AS is_frozen,
      (SELECT max(seen_on) FROM device_seen WHERE device_seen.user_ = page._id) AS last_seen_on,
      (SELECT count(*) FROM device WHERE device.user_ = page._id) AS devices
    FROM organization LEFT JOIN page ON TRUE LEFT JOIN user_ ON user_._id = page._id
      LEFT JOIN human ON human._id = user_.human
    ${IN_ORDER}`)
  if (rows.length === 0) return undefined
  const { items, next, total } = pageOf(rows, limit)
  return { users: items.map(person), next, total }
}

export async function showUser(db: Queryable, organization_id: OrganizationID, user_id: UserID) {
  const row = await db.one<Omit<Person, 'user_id'> & { user_id: UserID | null }>(sql`
    SELECT user_.user_id, human.email, human.label, user_.profile, user_.created_on, user_.revoked_on,
      user_.frozen AS is_frozen,
      (SELECT max(seen_on) FROM device_seen WHERE device_seen.user_ = user_._id) AS last_seen_on,
      (SELECT count(*) FROM device WHERE device.user_ = user_._id) AS devices
    FROM organization LEFT JOIN user_ ON user_.organization = organization._id AND user_.user_id = ${user_id}
      LEFT JOIN human ON human._id = user_.human
    WHERE organization.organization_id = ${organization_id}`)
  if (!row) return { status: 'not_found' as const }
  const { user_id: found } = row
  return found === null
    ? { status: 'user_not_found' as const }
    : { status: 'ok' as const, user: person({ ...row, user_id: found }) }
}

const person = (row: Person): AdministeredPerson => ({
  user_id: row.user_id,
  email: row.email,
  name: row.label,
  profile: row.profile,
  created_on: row.created_on,
  revoked_on: row.revoked_on,
  is_frozen: row.is_frozen,
  last_seen_on: row.last_seen_on,
  devices: row.devices,
})

/** Unlike the compatible request, users without human handle can be frozen too. */
export const freezeUser = (ctx: Deps, { organization_id, user_id, is_frozen }: InternalRequest<'admin_freeze'>) =>
  transaction(ctx, organization_id, async tx => {
    const found = await tx.one<{ user: number | null; is_revoked: boolean }>(sql`
      SELECT user_._id AS user, user_.revoked_on IS NOT NULL AS is_revoked
      FROM organization LEFT JOIN user_ ON user_.organization = organization._id AND user_.user_id = ${user_id}
      WHERE organization.organization_id = ${organization_id}`)
    if (!found) return { status: 'not_found' as const }
    if (found.user === null) return { status: 'user_not_found' as const }
    if (found.is_revoked) return { status: 'user_revoked' as const }
    void tx.run(sql`UPDATE user_ SET frozen = ${is_frozen} WHERE _id = ${found.user}`)
    tx.control({ control: 'user.frozen', user_id })
    return { status: 'ok' as const }
  })

/** In the order of their creation. */
export async function listDevices(db: Queryable, request: InternalRequest<'admin_devices'>) {
  const { organization_id, user_id, limit } = request
  const page = pageParameters(request, 'device_id')
  const rows = await db.all<AdministeredDevice & PageRow & { user: number | null }>(sql`
    WITH asked AS (SELECT * FROM json_to_record(${page.asked}::json) ${ASKED}), user_ AS MATERIALIZED (
      SELECT user_._id FROM organization LEFT JOIN user_ ON user_.organization = organization._id AND user_.user_id = ${user_id}
      WHERE organization.organization_id = ${organization_id}
    ), matching AS (
      SELECT device.device_id AS name, device.device_label AS label, device.created_on, device._id,
        ${page.sign}::bigint * (extract(epoch FROM device.created_on) * 1000000)::bigint AS key
      FROM user_ JOIN device ON device.user_ = user_._id
    ), ${PAGE}
    SELECT user_._id AS user, page.key, page.name, (SELECT count(*) FROM matching) AS total, page.name AS device_id,
      page.label, page.created_on, device_seen.seen_on AS last_seen_on
    FROM user_ LEFT JOIN page ON TRUE LEFT JOIN device_seen ON device_seen.device = page._id
    ${IN_ORDER}`)
  if (rows.length === 0) return { status: 'not_found' as const }
  if (rows[0]!.user === null) return { status: 'user_not_found' as const }
  const { items, next, total } = pageOf(rows, limit)
  const devices = items.map(({ device_id, label, created_on, last_seen_on }) => ({
    device_id,
    label,
    created_on,
    last_seen_on,
  }))
  return { status: 'ok' as const, devices, next, total }
}
