/** Organizations: bootstrap, configuration, statistics (spec 02 §3). */
import { createPublicKey } from 'node:crypto'
import { loadCertificate } from '@parsec/shared/certificates'
import type { DateTime } from '@parsec/shared/codec/values'
import { type Queryable, sql } from '@parsec/shared/postgres'
import { badTimestamp } from '@parsec/shared/protocol/ballpark'
import type { AnonymousContext } from '@parsec/shared/protocol/context'
import type { OrganizationStats, organization as table } from '@parsec/shared/protocol/organization'
import { type OrganizationID, USER_PROFILES, type UserProfile, userOf } from '@parsec/shared/protocol/types'
import type { Deps, Handlers } from '../context.ts'
import { loadNewUser, type NewUser, redactionRefusal } from '../rules/enrollment.ts'
import { transaction } from '../transaction.ts'
import { notifyBootstrap } from '../webhook.ts'
import { enrollment, insertUser } from './user.ts'

export const organization: Handlers<keyof typeof table> = {
  organization_bootstrap: (ctx, request) => bootstrap(ctx, request),

  organization_config: async ctx => {
    const found = await ctx.db.one<{
      user_profile_outsider_allowed: boolean
      active_users_limit: number | null
      minimum_archiving_period: number
      sequester_authority_certificate: Buffer | null
    }>(sql`
      SELECT user_profile_outsider_allowed, active_users_limit, minimum_archiving_period, sequester_authority_certificate
      FROM organization WHERE _id = ${ctx.context.organization}`)
    if (!found) return { status: 'not_found' }
    return {
      status: 'ok',
      ...found,
      sequester_services_certificates: found.sequester_authority_certificate === null ? null : [],
    }
  },

  organization_stats: async ctx => {
    const stats = await organizationStats(ctx.db, ctx.context.organization_id, ctx.now())
    return stats ? { status: 'ok', ...stats } : { status: 'not_found' }
  },
}

export type Bootstrap = {
  bootstrap_token: string
  root_verify_key: Buffer
  user_certificate: Buffer
  device_certificate: Buffer
  /** Both or none: an API v1 client may send none. */
  redacted_user_certificate?: Buffer | undefined
  redacted_device_certificate?: Buffer | undefined
  sequester_authority_certificate: Buffer | null
}

/** Makes the first user of an organization, for good (spec 02 §3.1.2, in its order). */
export async function bootstrap(ctx: Deps & { context: AnonymousContext }, request: Bootstrap) {
  const { organization_id } = ctx.context
  const now = ctx.now()
  const checked = checkBootstrap(request, now)
  if (!checked.ok) return checked.refusal
  const { newUser, sequester_verify_key_der } = checked
  const reply = await transaction(ctx, organization_id, async tx => {
    const organization = await tx.one<{ organization: number; bootstrap_token: string; is_bootstrapped: boolean }>(sql`
      SELECT _id AS organization, bootstrap_token, root_verify_key IS NOT NULL AS is_bootstrapped
      FROM organization WHERE organization_id = ${organization_id} FOR NO KEY UPDATE`)
    if (!organization) return { status: 'not_found' as const }
    if (organization.is_bootstrapped) return { status: 'already_bootstrapped' as const }
    if (organization.bootstrap_token !== request.bootstrap_token) return { status: 'not_found' as const }
    const facts = await enrollment(tx, organization.organization, newUser, now)
    if (facts.active_users_limit !== null && facts.active_users >= facts.active_users_limit)
      return { status: 'active_users_limit_reached' as const }
    void insertUser(tx, { organization: organization.organization, human: null, certifier: null, newUser })
    void tx.run(sql`
      UPDATE organization SET root_verify_key = ${request.root_verify_key}, bootstrapped_on = ${now},
        sequester_authority_certificate = ${request.sequester_authority_certificate},
        sequester_verify_key_der = ${sequester_verify_key_der}
      WHERE _id = ${organization.organization}`)
    return { status: 'ok' as const }
  })
  if (reply.status === 'ok' && ctx.config.organizationBootstrapWebhook !== null)
    await notifyBootstrap(ctx.config.organizationBootstrapWebhook, organization_id, newUser, ctx.log)
  return reply
}

function checkBootstrap(request: Bootstrap, now: DateTime) {
  const { root_verify_key, user_certificate, device_certificate } = request
  const { redacted_user_certificate = user_certificate, redacted_device_certificate = device_certificate } = request
  const root = { author: null, verify_key: root_verify_key }
  const loaded = loadNewUser(
    { user_certificate, device_certificate, redacted_user_certificate, redacted_device_certificate },
    root,
  )
  if (!loaded.ok) return loaded
  const { user, device, redacted_user, redacted_device } = loaded
  if (user.profile !== 'ADMIN') return refuse('invalid_data', 'Bootstrapping user must have admin profile.')
  if (!user.timestamp.equals(device.timestamp))
    return refuse('invalid_data', 'Device and user certificates must have the same timestamp.')
  if (userOf(device.device_id) !== user.user_id)
    return refuse('invalid_data', 'Device and user must have the same user ID.')
  const late = badTimestamp(user.timestamp, now)
  if (late) return { ok: false as const, refusal: late }
  // Without redacted certificates the full ones are served as such: only an API v1 client may ask for that.
  const redaction = redactionRefusal(
    user,
    request.redacted_user_certificate ? redacted_user : { ...user, human_handle: null },
    device,
    request.redacted_device_certificate ? redacted_device : { ...device, device_label: null },
  )
  if (redaction) return redaction
  if (!request.redacted_user_certificate !== !request.redacted_device_certificate)
    return refuse('invalid_data', 'Redacted user&device certificate must be provided together')
  const newUser: NewUser = {
    user_certificate,
    device_certificate,
    redacted_user_certificate,
    redacted_device_certificate,
    user,
    device,
  }
  if (request.sequester_authority_certificate === null)
    return { ok: true as const, newUser, sequester_verify_key_der: null }
  const authority = loadCertificate('sequester_authority_certificate', request.sequester_authority_certificate, root)
  if (!authority.ok || !isRsaKey(authority.certificate.verify_key_der))
    return refuse('invalid_data', 'Invalid signature for sequester authority certificate')
  const lateAuthority = badTimestamp(authority.certificate.timestamp, now)
  if (lateAuthority) return { ok: false as const, refusal: lateAuthority }
  if (!authority.certificate.timestamp.equals(user.timestamp))
    return refuse('invalid_data', 'Device, user and sequester authority certificates must have the same timestamp.')
  return { ok: true as const, newUser, sequester_verify_key_der: authority.certificate.verify_key_der }
}

const refuse = <const S extends string>(status: S, reason: string) => ({
  ok: false as const,
  refusal: { status, reason },
})

function isRsaKey(der: Buffer): boolean {
  try {
    return createPublicKey({ key: der, format: 'der', type: 'spki' }).asymmetricKeyType === 'rsa'
  } catch {
    return false
  }
}

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
