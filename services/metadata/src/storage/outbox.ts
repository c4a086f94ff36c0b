/**
 * Events leave a replica only through here. A row is written in the transaction of the change, so no committed change
 * can lose its event; after the commit the same process publishes it at once and deletes it in batches. Every replica
 * also sweeps what others left behind. Delivery is at least once, gateways drop repeated ids.
 */
import { randomUUID } from 'node:crypto'
import type { Bus } from '@parsec/shared/bus/bus'
import * as subjects from '@parsec/shared/bus/subjects'
import { type Encodable, encode } from '@parsec/shared/codec/msgpack'
import type { DateTime } from '@parsec/shared/codec/values'
import { Unavailable } from '@parsec/shared/errors'
import type { Log } from '@parsec/shared/log'
import type { Database } from '@parsec/shared/postgres/database'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { ClientEvent, ControlEvent, Recipients } from '@parsec/shared/protocol/events'
import type { OrganizationID } from '@parsec/shared/protocol/types'

/** An event on its way: where to publish it, and the bytes. */
export type OutboxEvent = { subject: string; event: Buffer }

/** What a role event tells besides: the certificate's timestamp, and the realm's newest change. */
export type Membership = { certified_on: DateTime; checkpoint: number }

export const clientEvent = (
  organization_id: OrganizationID,
  recipients: Recipients,
  fields: ClientEvent,
  membership?: Membership,
): OutboxEvent => ({
  subject: subjects.clientEvents(organization_id),
  event: encode({ id: randomUUID(), organization_id, recipients, fields, ...membership } as Encodable),
})
export const controlEvent = (organization_id: OrganizationID, control: ControlEvent): OutboxEvent => ({
  subject: subjects.controlEvents(organization_id),
  event: encode({ id: randomUUID(), organization_id, control } as Encodable),
})

/** Milliseconds between a publication and the deletion of its row, so that many rows go at once. */
const DELETE_AFTER_MS = 100
/** Milliseconds between two sweeps; rows younger than a second belong to the process that wrote them. */
const SWEEP_EVERY_MS = 1_000
const SWEEP_BATCH = 500

export class Outbox {
  readonly #db: Database
  readonly #bus: Bus
  readonly #log: Log
  #published: number[] = []
  #deletion: NodeJS.Timeout | undefined
  #sweep: NodeJS.Timeout | undefined
  #working = new Set<Promise<void>>()

  constructor(db: Database, bus: Bus, log: Log) {
    this.#db = db
    this.#bus = bus
    this.#log = log
  }

  start(): void {
    this.#sweep = setTimeout(
      () => this.#track(this.#sweepAll().finally(() => this.#sweep && this.start())),
      SWEEP_EVERY_MS,
    )
  }

  /** Inserts rows in the transaction of the change; resolves to their keys. `(SELECT …)`: one plan for any number. */
  static insert(tx: Queryable, events: readonly OutboxEvent[]): Promise<{ _id: number }[]> {
    return tx.all(sql`
      INSERT INTO outbox (subject, event)
      SELECT * FROM unnest((SELECT ${events.map(e => e.subject)}::text[]), (SELECT ${events.map(e => e.event)}::bytea[]))
      RETURNING _id`)
  }

  /** Publishes committed events in order. When the bus is away the rows stay for a sweep. */
  publish(events: readonly OutboxEvent[], rows: readonly { _id: number }[]): void {
    try {
      for (const { subject, event } of events) this.#bus.publish(subject, event)
    } catch (error) {
      this.#failed(error)
      return
    }
    this.#published.push(...rows.map(row => row._id))
    this.#deletion ??= setTimeout(() => this.#track(this.#deletePublished()), DELETE_AFTER_MS)
  }

  /** An event that belongs to no change, like a ping's; lost when the bus is away. */
  publishTransient({ subject, event }: OutboxEvent): void {
    this.#bus.publish(subject, event)
  }

  /** Leaves nothing of this process behind. */
  async drain(): Promise<void> {
    clearTimeout(this.#sweep)
    this.#sweep = undefined
    clearTimeout(this.#deletion)
    await Promise.all(this.#working)
    await this.#deletePublished()
  }

  async #deletePublished(): Promise<void> {
    this.#deletion = undefined
    const ids = this.#published
    this.#published = []
    if (ids.length === 0) return
    try {
      await this.#bus.flush()
      await this.#db.run(sql`DELETE FROM outbox WHERE _id = ANY(${ids}::bigint[])`)
    } catch (error) {
      this.#failed(error)
    }
  }

  async #sweepAll(): Promise<void> {
    try {
      while (this.#bus.connected && (await this.#sweepBatch()) === SWEEP_BATCH);
    } catch (error) {
      this.#failed(error)
    }
  }
  /** Publishing inside the transaction is safe: a row goes away only after the broker has the event. */
  #sweepBatch(): Promise<number> {
    return this.#db.transaction(async tx => {
      const rows = await tx.all<OutboxEvent & { _id: number }>(sql`
        SELECT _id, subject, event FROM outbox WHERE created_on < clock_timestamp() - interval '1 second'
        ORDER BY _id LIMIT ${SWEEP_BATCH} FOR UPDATE SKIP LOCKED`)
      if (rows.length === 0) return 0
      for (const { subject, event } of rows) this.#bus.publish(subject, event)
      await this.#bus.flush()
      await tx.run(sql`DELETE FROM outbox WHERE _id = ANY(${rows.map(row => row._id)}::bigint[])`)
      return rows.length
    })
  }

  #track(work: Promise<void>): void {
    this.#working.add(work)
    void work.finally(() => this.#working.delete(work))
  }
  #failed(error: unknown): void {
    if (error instanceof Unavailable) this.#log.warning('Events wait in the outbox', { cause: error.message })
    else this.#log.error('Unexpected crash', { cmd: 'outbox', error })
  }
}
