/** What everything about invitations shares: the lock on one, who greets, and its end (spec 04 §1, §4.2). */
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { InvitationDeletedReason, InvitationStatus, UserID } from '@parsec/shared/protocol/types'
import type { Tx } from '../storage/transaction.ts'

/** Orders all changes of an invitation, of its conduits and of its claimers. */
export const lockInvitation = (tx: Queryable, organization: number, token: Uuid) =>
  tx.run(sql`SELECT FROM invitation WHERE organization = ${organization} AND token = ${token} FOR NO KEY UPDATE`)

/** Tells every user who may greet. */
export async function tellGreeters(
  tx: Tx,
  { invitation, token }: { invitation: number; token: Uuid },
  invitation_status: InvitationStatus,
): Promise<void> {
  const greeters = await tx.all<{ user_id: UserID }>(sql`
    SELECT user_.user_id FROM conduit JOIN user_ ON user_._id = conduit.greeter WHERE conduit.invitation = ${invitation}`)
  const user_ids = greeters.map(greeter => greeter.user_id)
  tx.emit({ to: 'users', user_ids }, { event: 'invite.status_changed', token, invitation_status })
}

/** Ends an invitation that the caller holds the lock of: greeters hear of it before any claimer is sent away. */
export async function deleteInvitation(
  tx: Tx,
  { invitation, token }: { invitation: number; token: Uuid },
  reason: InvitationDeletedReason,
  now: DateTime,
): Promise<void> {
  void tx.run(sql`UPDATE invitation SET deleted_on = ${now}, deleted_reason = ${reason} WHERE _id = ${invitation}`)
  await tellGreeters(tx, { invitation, token }, 'DELETED')
  tx.control({ control: 'invitation.deleted', token })
}
