/** What administrators do to organizations and users (spec 02 §7); the admin service and API v1 commands call it. */
import { randomBytes } from 'node:crypto'
import type { DateTime } from '@parsec/shared/codec/values'
import { netloc } from '@parsec/shared/http/netloc'
import { sql } from '@parsec/shared/postgres/sql'
import type {
  AdministeredUser,
  InternalName,
  OrganizationSettings,
  OrganizationStatus,
} from '@parsec/shared/protocol/internal'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import type { Deps, InternalHandlers } from '../context.ts'
import { transaction } from '../storage/transaction.ts'
import { deleteOrganization, lookAt } from './deletion.ts'
import { EXPIRATION, type Expiration, isExpired } from './expiration.ts'
import { organizationStats, statistics, statisticsAt } from './statistics.ts'

/** What a client opens to bootstrap an organization. */
export const bootstrapLink = ({ config }: Deps, organization_id: OrganizationID, bootstrap_token: string): string =>
  `parsec://${netloc(config.backendAddr)}/${encodeURIComponent(organization_id)}?action=bootstrap_organization&token=${bootstrap_token}${config.backendAddr.useTls ? '' : '&no_ssl=true'}`

const BOOTSTRAP_TOKEN_BYTES = 32

export const administrationRequests: InternalHandlers<Extract<InternalName, `administration_${string}`>> = {
  administration_create: async (ctx, { organization_id, ...settings }) => {
    const bootstrap_token = newBootstrapToken()
    const created = await createOrganization(ctx, organization_id, { bootstrap_token, ...settings })
    if (!created) return { status: 'already_exists' }
    return { status: 'ok', bootstrap_token, bootstrap_link: bootstrapLink(ctx, organization_id, bootstrap_token) }
  },

  administration_status: async (ctx, { organization_id }) => {
    const status = await organizationStatus(ctx, organization_id)
    if (!status) return { status: 'not_found' }
    const { expiration_date: _, expired_on: __, ...shown } = status
    return { status: 'ok', ...shown }
  },

  administration_update: (ctx, { organization_id, ...changes }) => updateOrganization(ctx, organization_id, changes),

  administration_stats: async ({ db }, { organization_id }) => {
    const stats = await organizationStats(db, organization_id)
    return stats ? { status: 'ok', ...stats } : { status: 'not_found' }
  },

  administration_server_stats: async ({ db }, { at }) => {
    const rows = await (at === null ? statistics(db) : statisticsAt(db, at))
    return { stats: rows.map(({ users: _, ...item }) => item) }
  },

  administration_users: async ({ db }, { organization_id }) => {
    const rows = await db.all<AdministeredUser & { user_id: string | null }>(sql`
      SELECT user_.user_id, human.email AS user_email, human.label AS user_name, user_.frozen
      FROM organization
      LEFT JOIN (user_ JOIN human ON human._id = user_.human) ON user_.organization = organization._id
      WHERE organization.organization_id = ${organization_id} ORDER BY user_._id`)
    if (rows.length === 0) return { status: 'not_found' }
    return { status: 'ok', users: rows.filter(row => row.user_id !== null) }
  },

  administration_freeze: (ctx, { organization_id, user_id = null, user_email = null, frozen }) =>
    transaction(ctx, organization_id, async tx => {
      const organization = await tx.one<{ _id: number }>(
        sql`SELECT _id FROM organization WHERE organization_id = ${organization_id}`,
      )
      if (!organization) return { status: 'not_found' as const }
      const user = await tx.one<AdministeredUser>(sql`
        UPDATE user_ SET frozen = ${frozen} FROM human
        WHERE human._id = user_.human AND user_.organization = ${organization._id} AND user_.revoked_on IS NULL
          AND (user_.user_id = ${user_id}::text OR human.email = ${user_email}::text)
        RETURNING user_.user_id, human.email AS user_email, human.label AS user_name, user_.frozen`)
      if (!user) return { status: 'user_not_found' as const }
      tx.control({ control: 'user.frozen', user_id: user.user_id })
      return { status: 'ok' as const, ...user }
    }),

  administration_doomed: async ({ db }, { organization_id }) => {
    const doomed = await lookAt(db, organization_id)
    return doomed ? { status: 'ok', ...doomed } : { status: 'not_found' }
  },

  administration_delete: async ({ db }, { organization_id, ...step }) => ({
    status: await deleteOrganization(db, organization_id, step),
  }),
}

export const newBootstrapToken = (): string => randomBytes(BOOTSTRAP_TOKEN_BYTES).toString('hex')

type Creation = OrganizationSettings & {
  bootstrap_token: string
  expiration_date?: DateTime | null
  /** Never overwrites: spontaneous creation must not take an organization that an administrator reserved. */
  onlyNew?: boolean
}

/** Creates, or overwrites while not bootstrapped (spec 02 §2.2); false when it is bootstrapped, or is being deleted. */
export async function createOrganization(
  { db, config, now }: Deps,
  organization_id: OrganizationID,
  creation: Creation,
): Promise<boolean> {
  const { bootstrap_token, expiration_date = null, onlyNew = false } = creation
  const {
    user_profile_outsider_allowed = config.organizationInitialUserProfileOutsiderAllowed,
    active_users_limit = config.organizationInitialActiveUsersLimit,
    minimum_archiving_period = DEFAULT_MINIMUM_ARCHIVING_PERIOD,
  } = creation
  const written = await db.run(sql`
    INSERT INTO organization (organization_id, bootstrap_token, expiration_date, user_profile_outsider_allowed,
      active_users_limit, minimum_archiving_period, created_on)
    VALUES (${organization_id}, ${bootstrap_token}, ${expiration_date}, ${user_profile_outsider_allowed},
      ${active_users_limit}, ${minimum_archiving_period}, ${now()})
    ON CONFLICT (organization_id) DO UPDATE SET bootstrap_token = excluded.bootstrap_token,
      expiration_date = excluded.expiration_date, is_expired = FALSE, expired_on = NULL,
      user_profile_outsider_allowed = excluded.user_profile_outsider_allowed,
      active_users_limit = excluded.active_users_limit,
      minimum_archiving_period = excluded.minimum_archiving_period, created_on = excluded.created_on
    WHERE organization.root_verify_key IS NULL AND organization.deletion_code IS NULL AND NOT ${onlyNew}`)
  return written === 1
}
/** Seconds: 30 days. */
const DEFAULT_MINIMUM_ARCHIVING_PERIOD = 2_592_000

export async function organizationStatus({ db, now }: Deps, organization_id: OrganizationID) {
  const row = await db.one<Omit<OrganizationStatus, 'is_expired'> & Expiration & { expired_on: DateTime | null }>(sql`
    SELECT root_verify_key IS NOT NULL AS is_bootstrapped, user_profile_outsider_allowed, active_users_limit,
      minimum_archiving_period, expired_on, ${EXPIRATION}
    FROM organization WHERE organization_id = ${organization_id}`)
  if (!row) return undefined
  const { is_marked_expired: _, ...status } = row
  return { ...status, is_expired: isExpired(row, now()) }
}

type Changes = OrganizationSettings & { is_expired?: boolean; expiration_date?: DateTime | null | undefined }

/**
 * Changes what is given. Expiration has two forms, the flag of the REST API and the date of API v1: whoever lifts it
 * lifts both, so that each reads back what it wrote (spec 02 §4). Setting it closes the organization's connections.
 */
export const updateOrganization = (deps: Deps, organization_id: OrganizationID, changes: Changes) =>
  transaction(deps, organization_id, async tx => {
    const { is_expired, expiration_date, user_profile_outsider_allowed, active_users_limit, minimum_archiving_period } =
      changes
    const now = deps.now()
    const expires = is_expired === true || (!!expiration_date && !expiration_date.isAfter(now))
    const lifts = is_expired === false || (expiration_date !== undefined && !expires)
    const updated = await tx.run(sql`
      UPDATE organization SET
        is_expired = CASE WHEN ${is_expired === true} THEN TRUE WHEN ${lifts} THEN FALSE ELSE is_expired END,
        expiration_date = CASE
          WHEN ${expiration_date !== undefined} THEN ${expiration_date ?? null}::timestamptz
          WHEN ${is_expired === false} AND expiration_date <= ${now}::timestamptz THEN NULL
          ELSE expiration_date END,
        expired_on = CASE WHEN ${expires} THEN coalesce(expired_on, ${now}::timestamptz) WHEN ${lifts} THEN NULL ELSE expired_on END,
        user_profile_outsider_allowed = coalesce(${user_profile_outsider_allowed ?? null}::boolean, user_profile_outsider_allowed),
        active_users_limit = CASE WHEN ${active_users_limit !== undefined} THEN ${active_users_limit ?? null}::int ELSE active_users_limit END,
        minimum_archiving_period = coalesce(${minimum_archiving_period ?? null}::int, minimum_archiving_period)
      WHERE organization_id = ${organization_id} AND deletion_code IS NULL`)
    if (updated === 0) return { status: 'not_found' as const }
    if (expires) tx.control({ control: 'organization.expired' })
    return { status: 'ok' as const }
  })
