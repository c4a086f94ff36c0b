/**
 * Events leave a replica only through here. A row is written in the transaction of the change, so no committed change
 * can lose its event; after the commit the same process publishes it at once and deletes it in batches. Every replica
 * also sweeps what others left behind. Delivery is at least once, gateways drop repeated ids.
 */
import { randomBytes } from 'node:crypto'
import { Budget } from '@parsec/shared/budget'
import type { Bus } from '@parsec/shared/bus/bus'
import * as subjects from '@parsec/shared/bus/subjects'
import { decodeOwn, type Encodable, encode } from '@parsec/shared/codec/msgpack'
import type { DateTime } from '@parsec/shared/codec/values'
import {
  OUTBOX_DELETE_AFTER_MS,
  OUTBOX_DELETION_MS,
  OUTBOX_SETTLED_MS,
  OUTBOX_SWEEP_AGE_MS,
  OUTBOX_SWEEP_EVERY_MS,
  OUTBOX_SWEEP_MS,
  OUTBOX_WHOLE_SWEEP_MS,
} from '@parsec/shared/deadlines'
import { OperatorError, Unavailable } from '@parsec/shared/errors'
import type { Log } from '@parsec/shared/log'
import type { Database } from '@parsec/shared/postgres/database'
import { Fragment, fragment, type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { BusEvent, ClientEvent, ControlEvent, Recipients } from '@parsec/shared/protocol/events'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import { Periodic } from './periodic.ts'

/** An event on its way: where to publish it, and the bytes. */
export type OutboxEvent = { subject: string; event: Buffer }

/** No two processes and no two events have the same. */
class EventIds {
  readonly #prefix = `${randomBytes(12).toString('base64url')}.`
  #made = 0
  next(): string {
    return this.#prefix + (++this.#made).toString(36)
  }
}
const eventIds = new EventIds()

/** `place`: of an event about a realm, see `BusEvent`. `certified_on`: of one about a role. */
export const clientEvent = (
  organization_id: OrganizationID,
  recipients: Recipients,
  fields: ClientEvent,
  keys: { place?: number; certified_on?: DateTime },
): OutboxEvent => ({
  subject: subjects.clientEvents(organization_id),
  event: encode({ id: eventIds.next(), organization_id, recipients, fields, ...keys } as Encodable),
})
export const controlEvent = (organization_id: OrganizationID, control: ControlEvent): OutboxEvent => ({
  subject: subjects.controlEvents(organization_id),
  event: encode({ id: eventIds.next(), organization_id, control } as Encodable),
})

/** For a row that is inserted by the statement of its change: `VALUES (subject, event) RETURNING _id` follows. */
export const INTO_OUTBOX = fragment`INSERT INTO outbox (subject, event)`

/** Of the keys of the table. */
export const COUNTER = 'outbox__id_seq'
const SWEEP_BATCH = 500
/** Key of the advisory lock of whoever sweeps: one replica at a time, so that the order stays. */
const SWEEP_LOCK = 7_277_300_002

/** Also of a later time: the clock has been turned back, or is that of another server, and nobody waits until it comes. */
const IS_OLD = new Fragment(`abs(extract(epoch FROM clock_timestamp() - created_on)) > ${OUTBOX_SWEEP_AGE_MS / 1000}`)

type Row = OutboxEvent & { _id: number }

export class Outbox {
  readonly #db: Database
  readonly #bus: Bus
  readonly #log: Log
  readonly #sweep: Periodic
  readonly #floor = new Floor()
  /** Keys of rows that were published on the bus's connection of the epoch, and not deleted yet. */
  #published: number[] = []
  #epoch = 0
  #deletion: NodeJS.Timeout | undefined
  readonly #deletions = new Set<Promise<void>>()

  constructor(db: Database, bus: Bus, log: Log) {
    this.#db = db
    this.#bus = bus
    this.#log = log
    this.#sweep = new Periodic({
      name: 'outbox',
      everyMs: OUTBOX_SWEEP_EVERY_MS,
      deadlineMs: OUTBOX_SWEEP_MS,
      log,
      work: budget => this.#sweepAll(budget),
    })
  }

  start(): void {
    this.#sweep.start()
  }

  /** Whether the role of the connection may read the sequence that a sweep looks at; rights on tables do not include it. */
  static async mayCount(db: Queryable): Promise<boolean> {
    const found = await db.one<{ may: boolean }>(sql`SELECT has_sequence_privilege(${COUNTER}, 'SELECT') AS may`)
    return found!.may
  }
  /** Throws `OperatorError` where events that others left behind would never be told. */
  static async requireCounter(db: Queryable): Promise<void> {
    if (await Outbox.mayCount(db)) return
    throw new OperatorError(
      `the role of --db may not read the sequence ${COUNTER}: GRANT SELECT ON ALL SEQUENCES IN SCHEMA … TO the role`,
    )
  }

  /** Inserts rows in the transaction of the change; resolves to their keys. `(SELECT …)`: one plan for any number. */
  static insert(tx: Queryable, events: readonly OutboxEvent[]): Promise<{ _id: number }[]> {
    return tx.all(sql`
      ${INTO_OUTBOX}
      SELECT * FROM unnest((SELECT ${events.map(e => e.subject)}::text[]), (SELECT ${events.map(e => e.event)}::bytea[]))
      RETURNING _id`)
  }

  /** Publishes committed events in order. What the bus does not take stays for a sweep. */
  publish(events: readonly OutboxEvent[], rows: readonly { _id: number }[]): void {
    if (this.#epoch !== this.#bus.epoch) {
      // Whether the lost connection has carried them to the broker is not known: a sweep tells them again.
      this.#published = []
      this.#epoch = this.#bus.epoch
    }
    try {
      for (const { subject, event } of events) this.#bus.publish(subject, event)
    } catch (error) {
      this.#log.warning('Events wait in the outbox', { cause: (error as Error).message })
      return
    }
    this.#published.push(...rows.map(row => row._id))
    this.#deletion ??= setTimeout(() => this.#startDeletion(), OUTBOX_DELETE_AFTER_MS)
  }

  /** An event that belongs to no change, like a ping's; lost when the bus is away. */
  publishTransient({ subject, event }: OutboxEvent): void {
    this.#bus.publish(subject, event)
  }
  /** False when no client of the organization can be listening. */
  isHeard(organization_id: OrganizationID): boolean {
    return this.#bus.isHeard(subjects.clientEvents(organization_id))
  }

  /** Leaves nothing of this process behind, as far as the bus and the database let it. */
  async drain(): Promise<void> {
    clearTimeout(this.#deletion)
    await this.#sweep.stop()
    this.#startDeletion()
    await Promise.all(this.#deletions)
  }

  #startDeletion(): void {
    this.#deletion = undefined
    const budget = new Budget(OUTBOX_DELETION_MS)
    const deletion = budget
      .race(this.#deletePublished(budget))
      .catch(error => {
        if (error instanceof Unavailable) this.#log.warning('Events wait in the outbox', { cause: error.message })
        else this.#log.error('Unexpected crash', { cmd: 'outbox', error })
      })
      .finally(() => {
        budget.end()
        this.#deletions.delete(deletion)
      })
    this.#deletions.add(deletion)
  }
  async #deletePublished(budget: Budget): Promise<void> {
    const ids = this.#published
    this.#published = []
    if (ids.length === 0) return
    await this.#confirm(this.#epoch)
    await this.#db.within(budget).run(sql`DELETE FROM outbox WHERE _id = ANY(${ids}::bigint[])`)
  }
  /** Resolves when the broker has all that was published in an epoch; rejects when that can never be known. */
  async #confirm(epoch: number): Promise<void> {
    await this.#bus.flush()
    if (this.#bus.epoch !== epoch) throw new Unavailable('the connection that took the events is lost')
  }

  async #sweepAll(budget: Budget): Promise<void> {
    if (!this.#bus.connected || !(await this.#hasOld(budget))) return
    while (this.#bus.connected && (await this.#sweepBatch(budget)) === SWEEP_BATCH);
  }
  /** Whether there is something to sweep, and nobody else is at it: one statement, once a second, on a server that is idle. */
  async #hasOld(budget: Budget): Promise<boolean> {
    const { free, newest, has_old } = (await this.#db.within(budget).one<{
      free: boolean
      newest: number
      has_old: boolean
    }>(sql`
      SELECT free, newest, CASE WHEN free THEN EXISTS (
        SELECT FROM outbox
        WHERE _id > ${this.#floor.id} AND ${IS_OLD}
      ) ELSE FALSE END AS has_old
      FROM (SELECT pg_try_advisory_xact_lock(${SWEEP_LOCK}) AS free, last_value AS newest FROM outbox__id_seq OFFSET 0) turn`))!
    if (free && !has_old) this.#floor.swept(newest)
    return has_old
  }
  /** Publishing inside the transaction is safe: a row goes away only after the broker has the event. */
  #sweepBatch(budget: Budget): Promise<number> {
    return this.#db.within(budget).transaction(async tx => {
      const { free, newest } = (await tx.one<{ free: boolean; newest: number }>(sql`
        SELECT pg_try_advisory_xact_lock(${SWEEP_LOCK}) AS free, last_value AS newest FROM outbox__id_seq`))!
      if (!free) return 0
      const rows = await tx.all<Row>(sql`
        SELECT _id, subject, event FROM outbox
        WHERE _id > ${this.#floor.id} AND ${IS_OLD}
        ORDER BY _id LIMIT ${SWEEP_BATCH} FOR UPDATE SKIP LOCKED`)
      if (rows.length < SWEEP_BATCH) this.#floor.swept(newest)
      if (rows.length === 0) return 0
      const { epoch } = this.#bus
      const failed = rows.filter(row => !this.#tell(tx, row))
      await this.#confirm(epoch)
      await tx.run(sql`DELETE FROM outbox WHERE _id = ANY(${rows.map(row => row._id)}::bigint[])`)
      for (const { subject } of failed) this.#log.error('Event set aside, its organization connects anew', { subject })
      return rows.length
    })
  }
  /** False when the bus will never take the event: then it is kept elsewhere, and nobody who missed it stays connected. */
  #tell(tx: Queryable, { _id, subject, event }: Row): boolean {
    try {
      this.#bus.publish(subject, event)
      return true
    } catch (error) {
      if (error instanceof Unavailable) throw error
      void tx.run(sql`
        INSERT INTO outbox_failed (_id, subject, event, created_on, reason)
        SELECT _id, subject, event, created_on, ${String(error)} FROM outbox WHERE _id = ${_id}`)
      const { organization_id } = decodeOwn<BusEvent>(event)
      this.publishTransient(controlEvent(organization_id, { control: 'events.lost' }))
      return false
    }
  }
}

/**
 * Below which key all rows are gone. Deleted rows stay in the index until the table is vacuumed, and a sweep that begins
 * at the first key would read them all, each second.
 */
class Floor {
  id = 0
  /** Newest keys at earlier sweeps, oldest first. */
  #samples: { at: number; id: number }[] = []
  #looked = performance.now()

  /** Everything that was old enough up to `newest` is told. Transactions that were under way may still commit lower keys. */
  swept(newest: number): void {
    const now = performance.now()
    this.#samples.push({ at: now, id: newest })
    while (this.#samples[0] && this.#samples[0].at < now - OUTBOX_SETTLED_MS) this.id = this.#samples.shift()!.id
    // Now and then from the beginning: a deletion that was skipped may have been rolled back.
    if (now - this.#looked < OUTBOX_WHOLE_SWEEP_MS) return
    this.#looked = now
    this.#samples = []
    this.id = 0
  }
}
