/**
 * Who else works on this database, and who else speaks on this bus: they must be the same. Two databases on the same
 * subjects would be mixed, request by request; two processes on one database without a common bus tell their clients
 * nothing of each other's changes, revocations among them.
 */
import type { Budget } from '@parsec/shared/budget'
import type { Bus, Subscription } from '@parsec/shared/bus/bus'
import * as subjects from '@parsec/shared/bus/subjects'
import { decode, encode } from '@parsec/shared/codec/msgpack'
import { Uuid } from '@parsec/shared/codec/values'
import {
  CHECK_CLOCK_MS,
  NEIGHBOURS_ANSWER_MS,
  NEIGHBOURS_EVERY_MS,
  NEIGHBOURS_LEASE_MS,
  NEIGHBOURS_MS,
  NEIGHBOURS_REPEAT_MS,
} from '@parsec/shared/deadlines'
import { OperatorError, Unavailable } from '@parsec/shared/errors'
import type { Log } from '@parsec/shared/log'
import type { Database, Transactional } from '@parsec/shared/postgres/database'
import { sql } from '@parsec/shared/postgres/sql'
import { Periodic } from './periodic.ts'

/** What a process says of itself. `asks`: the others are to say it too. */
type Presence = { process: string; database_id: string; asks: boolean }

/** How often the lease is renewed, and how long it lasts; the clock of this process. */
export type Pace = { everyMs: number; leaseMs: number; now?: () => number }
const PACE: Pace = { everyMs: NEIGHBOURS_EVERY_MS, leaseMs: NEIGHBOURS_LEASE_MS }

export class Neighbours {
  readonly #bus: Bus
  readonly #database: Database
  readonly #log: Log
  readonly #leaseMs: number
  readonly #process = Uuid.random()
  readonly #database_id: string
  /** From when on the others would have been heard. */
  #hearsSince = performance.now()
  #stopHearing: (() => void) | undefined
  /** When each process on this bus was last heard. */
  readonly #heard = new Map<string, number>()
  #foreignAt = -Infinity
  #toldAt = -Infinity
  #subscription: Subscription | undefined
  readonly #lease: Periodic
  /** For `/readyz`; undefined when all is well. */
  trouble: string | undefined
  /** Likewise: how far the clock of this process is from the database's. */
  clock: string | undefined
  readonly #now: () => number

  private constructor(
    database: Database,
    bus: Bus,
    log: Log,
    database_id: string,
    { everyMs, leaseMs, now = Date.now }: Pace,
  ) {
    this.#now = now
    this.#database = database
    this.#bus = bus
    this.#log = log
    this.#database_id = database_id
    this.#leaseMs = leaseMs
    this.#lease = new Periodic({
      name: 'neighbours',
      everyMs,
      deadlineMs: NEIGHBOURS_MS,
      log,
      work: budget => this.#renew(budget),
    })
  }

  /** Throws `OperatorError` when another database is served on this bus. */
  static async meet(database: Database, bus: Bus, log: Log, pace = PACE): Promise<Neighbours> {
    const { database_id } = (await database.one<{ database_id: Uuid }>(sql`SELECT database_id FROM deployment`))!
    const neighbours = new Neighbours(database, bus, log, database_id.hex, pace)
    await neighbours.#meet()
    return neighbours
  }
  async #meet(): Promise<void> {
    this.#subscription = await this.#bus.subscribe(subjects.presence, payload => this.#hear(payload))
    // While the bus was away nobody was heard, and nobody is missed for that.
    this.#stopHearing = this.#bus.onStatus(isConnected => {
      if (isConnected) this.#hearsSince = performance.now()
    })
    if (this.#bus.isShared) {
      this.#present(true)
      await new Promise(resolve => setTimeout(resolve, NEIGHBOURS_ANSWER_MS))
    }
    if (this.#foreignAt !== -Infinity) {
      this.#stopHearing()
      await this.#subscription.close()
      throw new OperatorError(
        '--nats-url: another deployment, with another database, uses the same subjects of these NATS servers: give one of them another --nats-subject-prefix',
      )
    }
    await this.#takeLease(this.#database)
    this.#lease.start()
  }
  /** Nobody waits for this process any more. */
  async leave(): Promise<void> {
    await this.#lease.stop()
    this.#stopHearing?.()
    await this.#database.run(sql`DELETE FROM process WHERE _id = ${this.#process}`)
    await this.#subscription?.close()
  }

  #present(asks: boolean): void {
    const presence: Presence = { process: this.#process.hex, database_id: this.#database_id, asks }
    try {
      this.#bus.publish(subjects.presence, encode(presence))
    } catch (error) {
      // Said again when the bus is back.
      if (!(error instanceof Unavailable)) throw error
    }
  }
  #hear(payload: Buffer): void {
    const { process, database_id, asks } = decode(payload) as Presence
    if (process === this.#process.hex) return
    if (database_id !== this.#database_id) this.#foreignAt = performance.now()
    else this.#heard.set(process, performance.now())
    if (asks) this.#present(false)
  }

  async #renew(budget: Budget): Promise<void> {
    this.#present(false)
    const db = this.#database.within(budget)
    await this.#takeLease(db)
    const long = this.#leaseMs / 1000
    const others = await db.all<{ _id: Uuid }>(sql`
      SELECT _id FROM process WHERE _id <> ${this.#process}
        AND abs(extract(epoch FROM clock_timestamp() - seen_on)) < ${long}
        AND abs(extract(epoch FROM clock_timestamp() - started_on)) > ${long}`)
    const now = performance.now()
    const recently = (at: number) => now - at < this.#leaseMs
    for (const [process, at] of this.#heard) if (!recently(at)) this.#heard.delete(process)
    // Whoever overlaps for the time of a restart is no trouble.
    const isSettled = this.#bus.connected && now - this.#hearsSince > this.#leaseMs
    if (recently(this.#foreignAt)) this.#complain('another database is served on the same subjects of NATS')
    else if (isSettled && others.some(({ _id }) => !this.#heard.has(_id.hex)))
      this.#complain('another process works on this database without a common bus')
    else this.trouble = undefined
  }
  async #takeLease(db: Transactional): Promise<void> {
    const before = this.#now()
    const { clock } = (await db.one<{ clock: number }>(sql`
      INSERT INTO process (_id, seen_on) VALUES (${this.#process}, clock_timestamp())
      ON CONFLICT (_id) DO UPDATE SET seen_on = excluded.seen_on
      RETURNING (extract(epoch FROM seen_on) * 1000)::bigint AS clock`))!
    this.#compareClocks(before, clock, this.#now())
    await db.run(sql`DELETE FROM process WHERE abs(extract(epoch FROM clock_timestamp() - seen_on)) > 3600`)
  }
  /** Where replicas or clients do not agree on the time, what is signed is refused as too early or too late. */
  #compareClocks(before: number, database: number, after: number): void {
    const off = Math.max(database - after, before - database)
    if (off <= CHECK_CLOCK_MS) {
      this.clock = undefined
      return
    }
    this.clock = `${Math.round(off / 1000)} s ${database > after ? 'behind' : 'ahead of'} the database's`
    this.#log.warning('Clock is wrong', {
      reason: this.clock,
      consequence: 'clients whose clock is right are refused, or those of other replicas',
      hint: 'let both machines keep time (chrony, systemd-timesyncd)',
    })
  }
  #complain(trouble: string): void {
    this.trouble = trouble
    if (performance.now() - this.#toldAt < NEIGHBOURS_REPEAT_MS) return
    this.#toldAt = performance.now()
    this.#log.error('Deployment is divided', {
      trouble,
      consequence: 'clients of one part do not hear of what the other does, revocations among them',
    })
  }
}
