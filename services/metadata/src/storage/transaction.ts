/** A change of the database together with the events that tell of it: both happen, or neither. */
import type { Queryable } from '@parsec/shared/postgres/sql'
import type { ClientEvent, ControlEvent, Recipients } from '@parsec/shared/protocol/events'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import type { Deps } from '../context.ts'
import { clientEvent, controlEvent, type Membership, Outbox, type OutboxEvent } from './outbox.ts'

export type Tx = Queryable & {
  /** Tells subscribed connections, if this transaction commits. */
  emit(recipients: Recipients, fields: ClientEvent, membership?: Membership): void
  /** Orders gateways, if this transaction commits. */
  control(control: ControlEvent): void
}

/** Runs `body`; commits when its reply is `ok`, else rolls back. `ok` is returned only after the commit. */
export async function transaction<R extends { status: string }>(
  { db, outbox }: Pick<Deps, 'db' | 'outbox'>,
  organization_id: OrganizationID,
  body: (tx: Tx) => Promise<R>,
): Promise<R> {
  const events: OutboxEvent[] = []
  let rows: Promise<{ _id: number }[]> | undefined
  const reply = await db.transaction(
    async queries => {
      const reply = await body({
        ...queries,
        emit: (recipients, fields, membership) =>
          void events.push(clientEvent(organization_id, recipients, fields, membership)),
        control: control => void events.push(controlEvent(organization_id, control)),
      })
      if (reply.status === 'ok' && events.length > 0) rows = Outbox.insert(queries, events)
      return reply
    },
    reply => reply.status === 'ok',
  )
  if (rows) outbox.publish(events, await rows)
  return reply
}
