/** Invitations (spec 04 §4); the exchange itself runs between gateways and `conduit.ts`. */
import type { HumanHandle } from '@parsec/shared/codec/fields'
import { type DateTime, Uuid } from '@parsec/shared/codec/values'
import { sql } from '@parsec/shared/postgres/sql'
import type { invite as table } from '@parsec/shared/protocol/invite'
import type { Reply } from '@parsec/shared/protocol/registry'
import type { InvitationStatus, InvitationType, UserID } from '@parsec/shared/protocol/types'
import { knowsRecovery } from '@parsec/shared/protocol/versions'
import type { Ctx, Handlers } from '../context.ts'
import { type Tx, transaction } from '../storage/transaction.ts'
import { refuseRevokedAuthor } from '../user/people.ts'
import { deleteInvitation, lockInvitation } from './invitation.ts'
import { IS_PRESENT } from './presence.ts'

/** Answered by gateways. */
type Exchange = Extract<keyof typeof table, `invite_${1 | 2 | 3 | 4}${string}`>

export const invite: Handlers<Exclude<keyof typeof table, Exchange>> = {
  invite_new: async (ctx, request) => {
    const { organization_id, user_id, profile, human_handle } = ctx.context
    if (request.send_email && !ctx.mailer) return { status: 'not_available' }
    if (request.type === 'USER' && profile !== 'ADMIN') return { status: 'not_allowed' }
    if (request.type === 'DEVICE' && request.send_email && !human_handle) return { status: 'not_available' }
    const made = await transaction(ctx, organization_id, async tx => {
      await refuseRevokedAuthor(tx, ctx.context)
      switch (request.type) {
        case 'USER':
          return inviteUser(tx, ctx, request.claimer_email)
        case 'DEVICE':
          return inviteDevice(tx, ctx)
        case 'SHAMIR_RECOVERY':
          return inviteRecovery(tx, ctx, request.claimer_user_id)
      }
    })
    if (made.status !== 'ok') return made
    const { token, to } = made
    const mail = { type: request.type, organization_id, token, greeter: { user_id, human_handle } }
    const email_sent =
      request.send_email && ctx.mailer && to !== null ? await ctx.mailer.send({ ...mail, to }, ctx.budget) : 'SUCCESS'
    return { status: 'ok', token, email_sent }
  },

  invite_delete: (ctx, { token, reason }) => {
    const { organization_id, organization, user } = ctx.context
    return transaction(ctx, organization_id, async tx => {
      void lockInvitation(tx, organization, token)
      const found = await tx.one<{ invitation: number; is_deleted: boolean }>(sql`
        SELECT invitation._id AS invitation, invitation.deleted_on IS NOT NULL AS is_deleted
        FROM invitation LEFT JOIN shamir_recovery setup ON setup._id = invitation.shamir_recovery
        LEFT JOIN LATERAL (
          SELECT greeter FROM conduit WHERE conduit.invitation = invitation._id AND greeter = ${user} OFFSET 0
        ) conduit ON TRUE
        WHERE invitation.organization = ${organization} AND invitation.token = ${token}
          AND (setup.user_ = ${user} OR conduit.greeter IS NOT NULL)`)
      if (!found) return { status: 'not_found' }
      if (found.is_deleted) return { status: 'already_deleted' }
      await deleteInvitation(tx, { invitation: found.invitation, token }, reason, ctx.now())
      return { status: 'ok' }
    })
  },

  /**
   * Every greeter's: one's own, or for whose recovery one has a share. Conduits are not asked, they stay when an invitation
   * ends. `OFFSET 0`: each by its key, however many others have.
   */
  invite_list: async ctx => {
    const rows = await ctx.db.all<{
      type: InvitationType
      token: Uuid
      created_on: DateTime
      claimer_email: string | null
      claimer_user_id: UserID | null
      status: InvitationStatus
    }>(sql`
      SELECT invitation.type, invitation.token, invitation.created_on, invitation.claimer_email,
        claimer.user_id AS claimer_user_id,
        CASE WHEN EXISTS (
          SELECT FROM invitation_claimer WHERE invitation = invitation._id AND ${IS_PRESENT}
        ) THEN 'READY' ELSE 'IDLE' END AS status
      FROM (
        SELECT * FROM invitation
        WHERE greeter = ${ctx.context.user} AND shamir_recovery IS NULL AND deleted_on IS NULL
        UNION ALL
        SELECT invitation.* FROM shamir_recovery_share share CROSS JOIN LATERAL (
          SELECT * FROM invitation WHERE shamir_recovery = share.shamir_recovery AND deleted_on IS NULL OFFSET 0
        ) invitation
        WHERE share.recipient = ${ctx.context.user}
      ) invitation
      LEFT JOIN LATERAL (SELECT user_ FROM shamir_recovery WHERE _id = invitation.shamir_recovery OFFSET 0) setup ON TRUE
      LEFT JOIN LATERAL (SELECT user_id FROM user_ WHERE _id = setup.user_ OFFSET 0) claimer ON TRUE
      ORDER BY invitation.created_on, invitation._id`)
    const invitations: InvitationItem[] = []
    for (const { type, claimer_email, claimer_user_id, ...item } of rows) {
      if (type === 'USER') invitations.push({ type, claimer_email: claimer_email!, ...item })
      else if (type === 'DEVICE') invitations.push({ type, ...item })
      else if (knowsRecovery(ctx.context.api_version))
        invitations.push({ type, claimer_user_id: claimer_user_id!, ...item })
    }
    return { status: 'ok', invitations }
  },

  /** Also of one that was deleted a moment ago: the connection is about to be closed. */
  invite_info: async ctx => {
    const { organization, token, invitation_type } = ctx.context
    if (invitation_type === 'SHAMIR_RECOVERY') return recoveryInfo(ctx)
    const found = await ctx.db.one<{ claimer_email: string | null; user_id: UserID } & Human>(sql`
      SELECT invitation.claimer_email, user_.user_id, human.email, human.label
      FROM invitation JOIN user_ ON user_._id = invitation.greeter LEFT JOIN human ON human._id = user_.human
      WHERE invitation.organization = ${organization} AND invitation.token = ${token}`)
    const { claimer_email, user_id, ...human } = found!
    const greeter = { greeter_user_id: user_id, greeter_human_handle: handleOf(human) }
    return invitation_type === 'USER'
      ? { status: 'ok', type: invitation_type, claimer_email: claimer_email!, ...greeter }
      : { status: 'ok', type: invitation_type, ...greeter }
  },
}

type InvitationItem = Extract<Reply<'invite_list'>, { status: 'ok' }>['invitations'][number]
type Human = { email: string | null; label: string | null }
const handleOf = ({ email, label }: Human): HumanHandle | null =>
  email === null || label === null ? null : [email, label]

async function recoveryInfo({
  context: { organization, token },
  db,
}: Ctx<'invite_info'>): Promise<Reply<'invite_info'>> {
  const shares = await db.all<{ threshold: number; user_id: UserID; shares: number } & Human>(sql`
    SELECT setup.threshold, user_.user_id, share.shares, human.email, human.label
    FROM invitation JOIN shamir_recovery setup ON setup._id = invitation.shamir_recovery
    JOIN shamir_recovery_share share ON share.shamir_recovery = setup._id
    JOIN user_ ON user_._id = share.recipient LEFT JOIN human ON human._id = user_.human
    WHERE invitation.organization = ${organization} AND invitation.token = ${token} ORDER BY user_._id`)
  const recipients = shares.map(({ user_id, shares, ...human }) => ({ user_id, human_handle: handleOf(human), shares }))
  return { status: 'ok', type: 'SHAMIR_RECOVERY', threshold: shares[0]!.threshold, recipients }
}

/** `to`: where a mail goes. */
type Made =
  | { status: 'ok'; token: Uuid; to: string | null }
  | { status: 'not_allowed' | 'already_member' | 'shamir_recovery_not_setup' }

/**
 * Orders the invitations by one greeter, or for one recovery, so that asking twice at once makes one. A live one is looked up
 * by its key (`OFFSET 0`): planned with the `LIMIT`, all invitations might be gone through in the order of their ids.
 */
const lockUser = (tx: Tx, user: number) => tx.run(sql`SELECT FROM user_ WHERE _id = ${user} FOR NO KEY UPDATE`)

async function inviteUser(tx: Tx, ctx: Ctx<'invite_new'>, claimer_email: string): Promise<Made> {
  const { organization, user, user_id } = ctx.context
  void lockUser(tx, user)
  const found = await tx.one<{ is_member: boolean; token: Uuid | null }>(sql`
    SELECT EXISTS (
        SELECT FROM human JOIN user_ ON user_.human = human._id
        WHERE human.organization = ${organization} AND human.email = ${claimer_email}
          AND (user_.revoked_on IS NULL OR user_.revoked_on > ${ctx.now()})
      ) AS is_member,
      (SELECT token FROM (
        SELECT _id, token FROM invitation
        WHERE greeter = ${user} AND type = 'USER' AND claimer_email = ${claimer_email} AND deleted_on IS NULL OFFSET 0
      ) live ORDER BY _id LIMIT 1) AS token`)
  if (found!.is_member) return { status: 'already_member' }
  const token = found!.token ?? insertInvitation(tx, ctx, { type: 'USER', claimer_email }, [{ user, user_id }])
  return { status: 'ok', token, to: claimer_email }
}

async function inviteDevice(tx: Tx, ctx: Ctx<'invite_new'>): Promise<Made> {
  const { user, user_id, human_handle } = ctx.context
  void lockUser(tx, user)
  const live = await tx.one<{ token: Uuid }>(sql`
    SELECT token FROM (
      SELECT _id, token FROM invitation
      WHERE greeter = ${user} AND type = 'DEVICE' AND claimer_email IS NULL AND deleted_on IS NULL OFFSET 0
    ) live ORDER BY _id LIMIT 1`)
  const token = live?.token ?? insertInvitation(tx, ctx, { type: 'DEVICE' }, [{ user, user_id }])
  return { status: 'ok', token, to: human_handle?.[0] ?? null }
}

/** Every recipient of a share may invite, and greets; they share one invitation (spec 04 §9). */
async function inviteRecovery(tx: Tx, ctx: Ctx<'invite_new'>, claimer_user_id: UserID): Promise<Made> {
  const { organization, user } = ctx.context
  void tx.run(
    sql`SELECT FROM user_ WHERE organization = ${organization} AND user_id = ${claimer_user_id} FOR NO KEY UPDATE`,
  )
  const claimer = await tx.one<{ shamir_recovery: number; email: string; token: Uuid | null }>(sql`
    SELECT user_.shamir_recovery, human.email, (
        SELECT token FROM (
          SELECT _id, token FROM invitation
          WHERE shamir_recovery = user_.shamir_recovery AND deleted_on IS NULL OFFSET 0
        ) live ORDER BY _id LIMIT 1
      ) AS token
    FROM user_ JOIN human ON human._id = user_.human
    WHERE user_.organization = ${organization} AND user_.user_id = ${claimer_user_id}
      AND user_.shamir_recovery IS NOT NULL AND (user_.revoked_on IS NULL OR user_.revoked_on > ${ctx.now()})`)
  if (!claimer) return { status: 'shamir_recovery_not_setup' }
  const { shamir_recovery, email } = claimer
  const recipients = await tx.all<Greeter>(sql`
    SELECT user_._id AS user, user_.user_id
    FROM shamir_recovery_share share JOIN user_ ON user_._id = share.recipient
    WHERE share.shamir_recovery = ${shamir_recovery}`)
  if (!recipients.some(recipient => recipient.user === user)) return { status: 'not_allowed' }
  const made = () => insertInvitation(tx, ctx, { type: 'SHAMIR_RECOVERY', shamir_recovery }, recipients)
  return { status: 'ok', token: claimer.token ?? made(), to: email }
}

type Greeter = { user: number; user_id: UserID }
type NewInvitation = { type: InvitationType; claimer_email?: string; shamir_recovery?: number }

/** A new invitation with a conduit for each greeter; returns its token. */
function insertInvitation(
  tx: Tx,
  { context: { organization, user }, now }: Ctx<'invite_new'>,
  { type, claimer_email, shamir_recovery }: NewInvitation,
  greeters: readonly Greeter[],
): Uuid {
  const token = Uuid.random()
  void tx.run(sql`
    WITH made AS (
      INSERT INTO invitation (organization, token, type, greeter, claimer_email, shamir_recovery, created_on)
      VALUES (${organization}, ${token}, ${type}, ${user}, ${claimer_email ?? null}, ${shamir_recovery ?? null}, ${now()})
      RETURNING _id
    )
    INSERT INTO conduit (invitation, greeter)
    SELECT made._id, greeter FROM made, unnest(${greeters.map(greeter => greeter.user)}::bigint[]) greeter`)
  const user_ids = greeters.map(greeter => greeter.user_id)
  tx.emit({ to: 'users', user_ids }, { event: 'invite.status_changed', token, invitation_status: 'IDLE' })
  return token
}
