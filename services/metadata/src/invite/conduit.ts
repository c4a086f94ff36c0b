/** Steps of an exchange, each one short transaction; gateways wait in between (spec 04 §6.2). */
import type { Uuid } from '@parsec/shared/codec/values'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { ConduitParty } from '@parsec/shared/protocol/internal'
import type { ConduitState } from '@parsec/shared/protocol/invite'
import type { InternalHandlers } from '../context.ts'
import { transaction } from '../storage/transaction.ts'
import { type Conduit, listen, talk } from './conduit-steps.ts'
import { lockInvitation } from './invitation.ts'

export const conduitRequests: InternalHandlers<'conduit_talk' | 'conduit_listen'> = {
  conduit_talk: (ctx, { payload, ...party }) =>
    transaction(ctx, party.organization_id, async tx => {
      const found = await findConduit(tx, party)
      if (!found) return { status: 'not_found' as const }
      if (found.is_deleted) return { status: 'already_deleted' as const }
      const { side, state, attempt, token } = party
      const talked = talk(found.conduit, side, state, { attempt, payload })
      if (talked.status !== 'ok') return talked
      void storeConduit(tx, found.place, talked.conduit)
      tx.control({ control: 'invite.conduit_updated', token, attempt })
      return { status: 'ok' as const, peer: talked.peer }
    }),

  conduit_listen: (ctx, { peer, ...party }) =>
    transaction(ctx, party.organization_id, async tx => {
      const found = await findConduit(tx, party)
      if (!found) return { status: 'not_found' as const }
      const heard = listen(found.conduit, party.side, party.state, party.attempt, peer)
      // Before the deletion is looked at: what the other side has taken is done (spec 04 §8.4).
      if (heard.status === 'taken') return { status: heard.status }
      if (found.is_deleted) return { status: 'already_deleted' as const }
      if (heard.status !== 'ok') return { status: heard.status }
      void storeConduit(tx, found.place, heard.conduit)
      tx.control({ control: 'invite.conduit_updated', token: party.token, attempt: party.attempt })
      return { status: 'ok' as const, payload: heard.payload }
    }),
}

type Place = { invitation: number; greeter: number }
type Row = Place & {
  is_deleted: boolean
  state: ConduitState
  greeter_attempt: Uuid | null
  greeter_payload: Buffer | null
  claimer_attempt: Uuid | null
  claimer_payload: Buffer | null
  greeter_taken: Uuid | null
  claimer_taken: Uuid | null
}

/** The conduit of a party, locked; undefined when there is none for that greeter. */
async function findConduit(
  tx: Queryable,
  { organization, token, greeter }: ConduitParty,
): Promise<{ place: Place; is_deleted: boolean; conduit: Conduit } | undefined> {
  void lockInvitation(tx, organization, token)
  const row = await tx.one<Row>(sql`
    SELECT conduit.*, invitation.deleted_on IS NOT NULL AS is_deleted
    FROM invitation JOIN conduit ON conduit.invitation = invitation._id JOIN user_ ON user_._id = conduit.greeter
    WHERE invitation.organization = ${organization} AND invitation.token = ${token}
      AND (${greeter}::text IS NULL OR user_.user_id = ${greeter})`)
  if (!row) return undefined
  const slot = (attempt: Uuid | null, payload: Buffer | null) => (attempt && payload ? { attempt, payload } : null)
  return {
    place: { invitation: row.invitation, greeter: row.greeter },
    is_deleted: row.is_deleted,
    conduit: {
      state: row.state,
      greeter_slot: slot(row.greeter_attempt, row.greeter_payload),
      claimer_slot: slot(row.claimer_attempt, row.claimer_payload),
      greeter_taken: row.greeter_taken,
      claimer_taken: row.claimer_taken,
    },
  }
}

const storeConduit = (
  tx: Queryable,
  { invitation, greeter }: Place,
  { state, greeter_slot, claimer_slot, greeter_taken, claimer_taken }: Conduit,
) =>
  tx.run(sql`
    UPDATE conduit SET state = ${state},
      greeter_attempt = ${greeter_slot?.attempt ?? null}, greeter_payload = ${greeter_slot?.payload ?? null},
      claimer_attempt = ${claimer_slot?.attempt ?? null}, claimer_payload = ${claimer_slot?.payload ?? null},
      greeter_taken = ${greeter_taken}, claimer_taken = ${claimer_taken}
    WHERE invitation = ${invitation} AND greeter = ${greeter}`)
