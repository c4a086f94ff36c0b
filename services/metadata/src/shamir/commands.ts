/**
 * Shared recovery (spec 03 §8): a user entrusts shares of a secret to others. Old setups stay, a user's row points to the
 * active one. That row is also the lock between a new setup and the invitations that are made for the former.
 */
import { type Certificate, loadCertificate, type Signer } from '@parsec/shared/certificates/certificate'
import type { Uuid } from '@parsec/shared/codec/values'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { AuthenticatedContext } from '@parsec/shared/protocol/context'
import type { Request } from '@parsec/shared/protocol/registry'
import type { shamir as table } from '@parsec/shared/protocol/shamir'
import type { UserID } from '@parsec/shared/protocol/types'
import type { Deps, Handlers } from '../context.ts'
import { deleteInvitation } from '../invite/invitation.ts'
import { type Tx, transaction } from '../storage/transaction.ts'
import { refuseRevokedAuthor } from '../user/people.ts'

export const shamir: Handlers<keyof typeof table> = {
  shamir_recovery_setup: async (ctx, { setup }) => {
    const { organization_id, user, user_id, device_id, verify_key } = ctx.context
    const checked = setup && checkSetup(setup, { author: device_id, verify_key }, user_id)
    if (checked === undefined) return { status: 'invalid_data' }
    return transaction(ctx, organization_id, async tx => {
      void tx.run(sql`SELECT FROM user_ WHERE _id = ${user} FOR NO KEY UPDATE`)
      await refuseRevokedAuthor(tx, ctx.context)
      const shamir_recovery = setup && checked ? await insertSetup(tx, ctx, setup, checked) : null
      if (shamir_recovery === undefined) return { status: 'invalid_data' }
      void tx.run(sql`UPDATE user_ SET shamir_recovery = ${shamir_recovery}::bigint WHERE _id = ${user}`)
      await deleteInvitations(tx, ctx)
      return { status: 'ok' }
    })
  },

  shamir_recovery_self_info: async ctx => {
    const active = await ctx.db.one<{ brief_certificate: Buffer }>(sql`
      SELECT brief_certificate FROM user_ JOIN shamir_recovery ON shamir_recovery._id = user_.shamir_recovery
      WHERE user_._id = ${ctx.context.user}`)
    return { status: 'ok', self_info: active?.brief_certificate ?? null }
  },

  shamir_recovery_others_list: async ctx => {
    const entrusted = await ctx.db.all<{ brief_certificate: Buffer; share_certificate: Buffer }>(sql`
      SELECT brief_certificate, share_certificate
      FROM shamir_recovery_share share
      CROSS JOIN LATERAL (SELECT * FROM shamir_recovery WHERE _id = share.shamir_recovery OFFSET 0) setup
      CROSS JOIN LATERAL (SELECT shamir_recovery FROM user_ WHERE _id = setup.user_ OFFSET 0) owner
      WHERE share.recipient = ${ctx.context.user} AND owner.shamir_recovery = setup._id ORDER BY setup._id`)
    return {
      status: 'ok',
      brief_certificates: entrusted.map(({ brief_certificate }) => brief_certificate),
      share_certificates: entrusted.map(({ share_certificate }) => share_certificate),
    }
  },

  /** Whatever the invitation is for: the token alone opens, and that of a replaced or cleared setup too (spec 03 §8.5). */
  invite_shamir_recovery_reveal: async (ctx, { reveal_token }) => {
    const setup = await ctx.db.one<{ ciphered_data: Buffer }>(sql`
      SELECT ciphered_data FROM shamir_recovery
      WHERE organization = ${ctx.context.organization} AND reveal_token = ${reveal_token}`)
    return setup ? { status: 'ok', ciphered_data: setup.ciphered_data } : { status: 'not_found' }
  },
}

type Setup = NonNullable<Request<'shamir_recovery_setup'>['setup']>
type Share = { recipient: UserID; shares: number; share_certificate: Buffer }
type CheckedSetup = { brief: Certificate<'shamir_recovery_brief_certificate'>; shares: Share[] }

/** What the certificates say when they hold together; undefined otherwise (spec 03 §8.2). */
function checkSetup(setup: Setup, signer: Signer, author: UserID): CheckedSetup | undefined {
  const brief = loadCertificate('shamir_recovery_brief_certificate', setup.brief, signer)
  if (!brief.ok) return undefined
  const weights = new Map(brief.certificate.per_recipient_shares)
  const shares = new Map<UserID, Share>()
  for (const share_certificate of setup.shares) {
    const share = loadCertificate('shamir_recovery_share_certificate', share_certificate, signer)
    if (!share.ok) return undefined
    const { recipient } = share.certificate
    const weight = weights.get(recipient)
    if (weight === undefined || shares.has(recipient) || recipient === author) return undefined
    shares.set(recipient, { recipient, shares: weight, share_certificate })
  }
  if (shares.size !== weights.size) return undefined
  return { brief: brief.certificate, shares: [...shares.values()] }
}

type Author = Deps & { context: AuthenticatedContext }

/** The key of the new setup; undefined when a recipient is unknown or the token is used. */
async function insertSetup(
  tx: Queryable,
  { context: { organization, user }, now }: Author,
  { ciphered_data, reveal_token, brief }: Setup,
  checked: CheckedSetup,
): Promise<number | undefined> {
  const { threshold } = checked.brief
  const inserted = await tx.one<{ shamir_recovery: number }>(sql`
    INSERT INTO shamir_recovery (organization, user_, reveal_token, brief_certificate, threshold, ciphered_data, created_on)
    VALUES (${organization}, ${user}, ${reveal_token}, ${brief}, ${threshold}, ${ciphered_data}, ${now()})
    ON CONFLICT DO NOTHING RETURNING _id AS shamir_recovery`)
  if (!inserted) return undefined
  const { shamir_recovery } = inserted
  const { shares } = checked
  const recipients = await tx.run(sql`
    INSERT INTO shamir_recovery_share (shamir_recovery, recipient, share_certificate, shares)
    SELECT ${shamir_recovery}::bigint, user_._id, share.share_certificate, share.shares
    FROM unnest(${shares.map(s => s.recipient)}::text[], ${shares.map(s => s.share_certificate)}::bytea[],
      ${shares.map(s => s.shares)}::bigint[]) share (recipient, share_certificate, shares)
    JOIN user_ ON user_.organization = ${organization} AND user_.user_id = share.recipient`)
  return recipients === shares.length ? shamir_recovery : undefined
}

/** Invitations for a former setup of the caller are void. */
async function deleteInvitations(tx: Tx, { context: { user }, now }: Author): Promise<void> {
  const live = await tx.all<{ invitation: number; token: Uuid }>(sql`
    SELECT _id AS invitation, token FROM invitation
    WHERE shamir_recovery = ANY(ARRAY(SELECT _id FROM shamir_recovery WHERE user_ = ${user})) AND deleted_on IS NULL
    FOR NO KEY UPDATE`)
  for (const invitation of live) await deleteInvitation(tx, invitation, 'CANCELLED', now())
}
