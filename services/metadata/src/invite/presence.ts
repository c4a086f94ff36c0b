/**
 * Which invitations have a claimer connected (spec 04 §5): leases that gateways renew, so that those of a gateway that
 * was killed lapse. The database's clock counts, not that of a replica.
 */
import type { Uuid } from '@parsec/shared/codec/values'
import { PRESENCE_LEASE_SECONDS, PRESENCE_SWEEP_EVERY_MS, PRESENCE_SWEEP_MS } from '@parsec/shared/deadlines'
import type { Database } from '@parsec/shared/postgres/database'
import { Fragment, type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import type { Deps, InternalHandlers } from '../context.ts'
import { Periodic } from '../storage/periodic.ts'
import { type Tx, transaction } from '../storage/transaction.ts'
import { lockInvitation, tellGreeters } from './invitation.ts'

const SWEEP_BATCH = 100

/** A lease that lasts longer than any is of a clock that has been turned back, or of another database server's. */
export const IS_PRESENT = new Fragment(
  `invitation_claimer.expires_on BETWEEN statement_timestamp() AND statement_timestamp() + interval '${2 * PRESENCE_LEASE_SECONDS} seconds'`,
)

export const presenceRequests: InternalHandlers<'claimer_present' | 'claimer_gone'> = {
  claimer_present: async (ctx, { organization_id, organization, token, conn_id }) => {
    const { status } = await transaction(ctx, organization_id, async tx => {
      const found = await findPresence(tx, organization, token)
      if (!found || found.is_deleted) return { status: 'already_deleted' as const }
      const renewed = await tx.run(sql`
        UPDATE invitation_claimer SET expires_on = clock_timestamp() + make_interval(secs => ${PRESENCE_LEASE_SECONDS})
        WHERE invitation = ${found.invitation} AND conn_id = ${conn_id}`)
      if (renewed > 0) return { status: 'ok' as const }
      void tx.run(sql`
        INSERT INTO invitation_claimer (invitation, conn_id, expires_on)
        VALUES (${found.invitation}, ${conn_id}, clock_timestamp() + make_interval(secs => ${PRESENCE_LEASE_SECONDS}))`)
      await tellGreeters(tx, { invitation: found.invitation, token }, 'READY')
      return { status: 'ok' as const }
    })
    return { is_deleted: status !== 'ok' }
  },

  claimer_gone: async (ctx, { organization_id, organization, token, conn_id }) => {
    await transaction(ctx, organization_id, async tx => {
      const found = await findPresence(tx, organization, token)
      if (!found) return { status: 'not_found' as const }
      const gone = await tx.run(
        sql`DELETE FROM invitation_claimer WHERE invitation = ${found.invitation} AND conn_id = ${conn_id}`,
      )
      if (gone > 0) await tellLeft(tx, { ...found, token })
      return { status: 'ok' as const }
    })
    return {}
  },
}

const findPresence = (tx: Queryable, organization: number, token: Uuid) => {
  void lockInvitation(tx, organization, token)
  return tx.one<{ invitation: number; is_deleted: boolean }>(sql`
    SELECT _id AS invitation, deleted_on IS NOT NULL AS is_deleted
    FROM invitation WHERE organization = ${organization} AND token = ${token}`)
}

/**
 * Each coming and going is told, also after the invitation was deleted (spec 04 §3.2, §5.2); the last word says whether
 * another claimer is still there.
 */
async function tellLeft(
  tx: Tx,
  { invitation, token, is_deleted }: { invitation: number; token: Uuid; is_deleted: boolean },
): Promise<void> {
  await tellGreeters(tx, { invitation, token }, 'IDLE')
  const left = await tx.one(sql`
    SELECT FROM invitation_claimer WHERE invitation = ${invitation} AND ${IS_PRESENT} LIMIT 1`)
  if (left && !is_deleted) await tellGreeters(tx, { invitation, token }, 'READY')
}

/** Ends leases that have lapsed. */
export const presenceSweep = (deps: Omit<Deps, 'db' | 'budget'>, database: Database): Periodic =>
  new Periodic({
    name: 'presence',
    everyMs: PRESENCE_SWEEP_EVERY_MS,
    deadlineMs: PRESENCE_SWEEP_MS,
    log: deps.log,
    work: budget => endAllLapsed({ ...deps, budget, db: database.within(budget) }),
  })

async function endAllLapsed(deps: Deps): Promise<void> {
  const lapsed = await deps.db.all<{ organization_id: OrganizationID; organization: number; token: Uuid }>(sql`
    SELECT DISTINCT organization.organization_id, organization._id AS organization, invitation.token
    FROM invitation_claimer JOIN invitation ON invitation._id = invitation_claimer.invitation
    JOIN organization ON organization._id = invitation.organization
    WHERE NOT (${IS_PRESENT}) LIMIT ${SWEEP_BATCH}`)
  for (const { organization_id, organization, token } of lapsed)
    await transaction(deps, organization_id, tx => endLapsed(tx, organization, token))
}

async function endLapsed(tx: Tx, organization: number, token: Uuid): Promise<{ status: 'ok' | 'not_found' }> {
  const found = await findPresence(tx, organization, token)
  if (!found) return { status: 'not_found' }
  const ended = await tx.run(sql`
    DELETE FROM invitation_claimer WHERE invitation = ${found.invitation} AND NOT (${IS_PRESENT})`)
  if (ended > 0) await tellLeft(tx, { ...found, token })
  return { status: 'ok' }
}
