/**
 * Invitations of API v1 (spec 03 §6): one for a user id, or for a device id, of which only the latter has an `@`. They
 * have nothing to do with those of later releases. Whoever waits for the other side does so in a gateway, and subscribes
 * there before anything is written here.
 */
import type { DateTime } from '@parsec/shared/codec/values'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { AuthenticatedContext } from '@parsec/shared/protocol/context'
import type { DeviceID, OrganizationID, UserID } from '@parsec/shared/protocol/types'
import type { Trustchain } from '@parsec/shared/protocol/user'
import type { Deps, Handlers, InternalHandlers } from '../context.ts'
import { transaction } from '../storage/transaction.ts'
import { CHAIN, TRUSTCHAIN } from '../user/trustchain.ts'

/** Seconds from the newest invitation of an id until claims are refused. */
const INVITATION_VALIDITY = 3600

type Commands = `${'user' | 'device'}_${'get_invitation_creator' | 'cancel_invitation'}`

export const legacyInvitation: Handlers<Commands> = {
  user_get_invitation_creator: (ctx, { invited_user_id }) =>
    getCreator(ctx, ctx.context.organization_id, invited_user_id),
  device_get_invitation_creator: (ctx, { invited_device_id }) =>
    getCreator(ctx, ctx.context.organization_id, invited_device_id),
  user_cancel_invitation: (ctx, { user_id }) => cancel(ctx, user_id),
  device_cancel_invitation: (ctx, { invited_device_name }) =>
    cancel(ctx, `${ctx.context.user_id}@${invited_device_name}`),
}

/** What a gateway asks for before it waits. */
export const legacyInvitationRequests: InternalHandlers<'legacy_invite' | 'legacy_claim'> = {
  legacy_invite: async ({ db, now }, { context: { organization, device }, invited }) => {
    const stored = await db.run(sql`
      INSERT INTO legacy_invitation (organization, invited, creator, created_on)
      SELECT ${organization}::bigint, ${invited}::text, ${device}::bigint, ${now()}::timestamptz
      WHERE NOT EXISTS (SELECT FROM user_ WHERE organization = ${organization} AND user_id = ${invited})
        AND NOT EXISTS (SELECT FROM device WHERE organization = ${organization} AND device_id = ${invited})
      ON CONFLICT (organization, invited) DO UPDATE SET creator = excluded.creator, created_on = excluded.created_on`)
    return { status: stored === 1 ? 'ok' : 'already_exists' }
  },

  legacy_claim: async (ctx, { organization_id, invited, encrypted_claim }) => {
    const claimed = await transaction(ctx, organization_id, async tx => {
      const invitation = await findInvitation(tx, organization_id, invited)
      if (!invitation) return { status: 'not_found' as const }
      // Told even when it comes too late (spec 03 §6.5).
      tx.control({ control: 'enrollment.claimed', invited, encrypted_claim })
      return { status: 'ok' as const, is_valid: isValid(invitation, ctx.now()) }
    })
    return { status: claimed.status === 'ok' && claimed.is_valid ? 'ok' : 'not_found' }
  },
}

type Invitation = { creator: number; created_on: DateTime }

const isValid = ({ created_on }: Invitation, now: DateTime): boolean =>
  now.isBefore(created_on.plus(INVITATION_VALIDITY))

/** The invitation of an id that nobody has yet. */
const findInvitation = (db: Queryable, organization_id: OrganizationID, invited: UserID | DeviceID) =>
  db.one<Invitation>(sql`
    SELECT creator, legacy_invitation.created_on
    FROM legacy_invitation JOIN organization ON organization._id = legacy_invitation.organization
    WHERE organization.organization_id = ${organization_id} AND invited = ${invited}
      AND NOT EXISTS (SELECT FROM user_ WHERE organization = organization._id AND user_id = ${invited})
      AND NOT EXISTS (SELECT FROM device WHERE organization = organization._id AND device_id = ${invited})`)

async function getCreator({ db, now }: Deps, organization_id: OrganizationID, invited: UserID | DeviceID) {
  const invitation = await findInvitation(db, organization_id, invited)
  const creator = invitation && isValid(invitation, now()) ? await readCreator(db, invitation.creator) : undefined
  if (!creator) return { status: 'not_found' as const }
  const { user_certificate, device_certificate, devices, users, revoked_users } = creator
  return {
    status: 'ok' as const,
    device_certificate,
    user_certificate,
    trustchain: { devices, users, revoked_users },
  }
}

/** The certificates of a device and its user, in full, with their trustchain (spec 03 §6.4). */
const readCreator = (db: Queryable, device: number) =>
  db.one<{ user_certificate: Buffer; device_certificate: Buffer } & Trustchain>(sql`
    WITH RECURSIVE viewer (redacted) AS (
      VALUES (FALSE)
    ), target AS (
      SELECT device_certificate, user_certificate, device_certifier, user_certifier, revoked_user_certifier
      FROM device JOIN user_ ON user_._id = device.user_ WHERE device._id = ${device}
    ), seed (certifier) AS (
      SELECT link.certifier
      FROM target CROSS JOIN LATERAL (VALUES (device_certifier), (user_certifier), (revoked_user_certifier)) link (certifier)
    ), ${CHAIN}
    SELECT user_certificate, device_certificate, ${TRUSTCHAIN} FROM target`)

/** Denies every waiting claim, whether or not something was invited; nothing to cancel once the id exists. */
const cancel = (ctx: Deps & { context: AuthenticatedContext }, invited: UserID | DeviceID) =>
  transaction(ctx, ctx.context.organization_id, async tx => {
    const { organization } = ctx.context
    const { exists } = (await tx.one<{ exists: boolean }>(sql`
      SELECT EXISTS (SELECT FROM user_ WHERE organization = ${organization} AND user_id = ${invited})
        OR EXISTS (SELECT FROM device WHERE organization = ${organization} AND device_id = ${invited}) AS exists`))!
    if (exists) return { status: 'ok' as const }
    void tx.run(sql`DELETE FROM legacy_invitation WHERE organization = ${organization} AND invited = ${invited}`)
    tx.control({ control: 'enrollment.cancelled', invited })
    return { status: 'ok' as const }
  })
