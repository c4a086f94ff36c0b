/** A change of the database together with the events that tell of it: both happen, or neither. */
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { ClientEvent, ControlEvent, Recipients } from '@parsec/shared/protocol/events'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import type { Deps } from '../context.ts'
import { clientEvent, controlEvent, Outbox, type OutboxEvent } from './outbox.ts'

/** What must be said about an event besides: the place of a change, the timestamp of a role certificate. */
type Keys<E extends ClientEvent> = E extends { event: 'realm.vlobs_updated' }
  ? [{ place: number }]
  : E extends { event: 'realm.roles_updated' }
    ? [{ certified_on: DateTime }]
    : []

export type Tx = Queryable & {
  /** Tells subscribed connections, if this transaction commits; about a realm only while it holds the realm's lock. */
  emit<E extends ClientEvent>(recipients: Recipients, fields: E, ...keys: Keys<E>): void
  /** Orders gateways, if this transaction commits. */
  control(control: ControlEvent): void
}

/** Runs `body`; commits when its reply is `ok`, else rolls back. `ok` is returned only after the commit. */
export async function transaction<R extends { status: string }>(
  { db, outbox, turns, budget }: Pick<Deps, 'db' | 'outbox' | 'turns' | 'budget'>,
  organization_id: OrganizationID,
  body: (tx: Tx) => Promise<R>,
): Promise<R> {
  const turn = turns.enter(organization_id, budget)
  if (turn) await turn
  try {
    return await transactionInTurn({ db, outbox }, organization_id, body)
  } finally {
    turns.leave(organization_id)
  }
}

async function transactionInTurn<R extends { status: string }>(
  { db, outbox }: Pick<Deps, 'db' | 'outbox'>,
  organization_id: OrganizationID,
  body: (tx: Tx) => Promise<R>,
): Promise<R> {
  let events: OutboxEvent[] = []
  let rows: Promise<{ _id: number }[]> | undefined
  const reply = await db.transaction(
    async queries => {
      const emitted: (() => OutboxEvent | Promise<OutboxEvent>)[] = []
      const reply = await body({
        ...queries,
        emit: (recipients, fields, ...[keys]) =>
          void emitted.push(async () => {
            const place = await placeOf(queries, organization_id, fields)
            return clientEvent(organization_id, recipients, fields, { ...place, ...keys })
          }),
        control: control => void emitted.push(() => controlEvent(organization_id, control)),
      })
      if (reply.status !== 'ok' || emitted.length === 0) return reply
      events = await Promise.all(emitted.map(event => event()))
      rows = Outbox.insert(queries, events)
      return reply
    },
    reply => reply.status === 'ok',
  )
  if (rows) outbox.publish(events, await rows)
  return reply
}

/** The next place among the events of a realm; a change of a vlob has its own, by its index. */
function placeOf(tx: Queryable, organization_id: OrganizationID, fields: ClientEvent) {
  if (!('realm_id' in fields) || fields.event === 'realm.vlobs_updated') return undefined
  return takePlace(tx, organization_id, fields.realm_id)
}
const takePlace = (tx: Queryable, organization_id: OrganizationID, realm_id: Uuid) =>
  tx.one<{ place: number }>(sql`
    UPDATE realm SET steps = steps + 1 FROM organization
    WHERE organization.organization_id = ${organization_id} AND realm.organization = organization._id
      AND realm.realm_id = ${realm_id}
    RETURNING realm.checkpoint + realm.steps AS place`)
