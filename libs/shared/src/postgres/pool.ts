/**
 * The connections of a process to PostgreSQL. Who waits for one is served in order, or told within its deadline. A
 * connection that was quiet is asked whether it is there before it is used; where one has vanished without a word, the
 * others are asked too, however young, so that after a failover everything works again within seconds.
 */
import type { Cancellation } from '../cancellation.ts'
import {
  DATABASE_GRACE_MS,
  DATABASE_IDLE_MS,
  DATABASE_NO_MORE_MS,
  DATABASE_PROBE_AFTER_MS,
  DATABASE_PROBE_MS,
  DATABASE_SWEEP_MS,
  DATABASE_WAIT_MS,
} from '../deadlines.ts'
import { OperatorError, reasonOf, Unavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import { Connection } from './connection.ts'
import { unavailable } from './outage.ts'
import { sql } from './sql.ts'
import type { Host, Target } from './target.ts'

export type PoolOptions = {
  target: Target
  minConnections: number
  maxConnections: number
  /** For one statement that has no budget of its own, on our side and on the server's. */
  statementMs: number
  statementTimeoutMs: number
}
/** For metrics. */
export type PoolStatistics = {
  connections: number
  idle: number
  waiting: number
  /** Seconds that were waited for a connection since the start, in all. */
  waitedSeconds: number
}

const PROBE = sql`SELECT TRUE`
const PID = sql`SELECT pg_backend_pid() AS pid`

type Waiter = {
  /** When it is told that it waited in vain; who waits with a signal is mostly told before. */
  until: number
  resolve(connection: Connection): void
  reject(reason: unknown): void
}

export class Pool {
  readonly #options: PoolOptions
  readonly #log: Log
  readonly #connections = new Set<Connection>()
  /** The last one is used first. */
  #idle: Connection[] = []
  readonly #queue: Waiter[] = []
  /** Connections that are opened, and those that are asked whether they are there. */
  #opening = 0
  #probing = 0
  /** Connections that are ended, but whose statement still runs. */
  #ending = 0
  /** The server gave no other connection beside those that there are, or come: until then nobody asks for one again. */
  #noMoreUntil = 0
  /** An answer from before this says nothing about a connection: something vanished without a word since. */
  #suspectUntil = 0
  #goodHost: Host | undefined
  #waitedMs = 0
  #closed = false
  /** While a connection is in use, waited for, or one too many; an idle server has nothing to wake for. */
  #sweep: NodeJS.Timeout | undefined
  #onEmpty: (() => void) | undefined

  constructor(options: PoolOptions, log: Log) {
    this.#options = options
    this.#log = log
  }

  get statistics(): PoolStatistics {
    return {
      connections: this.#connections.size,
      idle: this.#idle.length,
      waiting: this.#queue.length,
      waitedSeconds: this.#waitedMs / 1000,
    }
  }
  /** False from the loss of a connection until the next success. */
  isReachable = true
  /** Whether the newest connection found a server that takes no writes. */
  isReadOnly = false

  /**
   * A connection for the caller alone, until it is given back. Rejects with `Unavailable`. Without a signal each of its
   * statements has the default deadline.
   */
  async acquire(signal: Cancellation | undefined): Promise<Connection> {
    if (signal?.aborted) throw unavailable(signal.reason)
    this.#watch()
    const connection = (this.#queue.length === 0 && this.#takeFresh()) || (await this.#wait(signal))
    connection.patienceMs = signal ? this.#options.statementTimeoutMs : this.#options.statementMs
    return connection
  }

  /** Gives a connection back; what nobody waits for any more may still be running on it. */
  release(connection: Connection): void {
    if (connection.isDead) return
    if (connection.isBusy) void this.#settle(connection)
    else if (connection.isTainted || this.#closed) this.#remove(connection)
    // The next one may find a server that takes writes.
    else if (connection.isStandby && this.isReadOnly && this.#queue.length === 0) this.#remove(connection)
    else this.#offer(connection)
  }
  async #settle(connection: Connection): Promise<void> {
    const since = connection.busySince
    if (await connection.drained(DATABASE_GRACE_MS)) return this.release(connection)
    if (since !== undefined && connection.isBusy) this.#suspect(since)
    this.condemn(connection, new Unavailable('database: nobody waits any more'))
  }

  /** Ends a connection at once, with what runs on it; whoever waits for that is freed with `reason`. */
  condemn(connection: Connection, reason: Unavailable): void {
    if (connection.isDead) return
    this.#ending++
    void connection.condemn(reason).finally(() => {
      this.#ending--
      this.#feed()
    })
  }
  /** Something was answered. */
  works(): void {
    this.isReachable = true
  }
  /** The server takes no writes (any more): its connections lead to the wrong one. */
  foundReadOnly(): void {
    this.isReadOnly = true
    this.#closeIdle(() => true)
  }

  /** Resolves to the first connection, or rejects with the driver's error. */
  async open(): Promise<void> {
    const connection = await this.#connect()
    try {
      if (connection.isPooled) await this.#refuseSharedSessions(connection)
    } finally {
      this.release(connection)
    }
  }
  /** Behind a pooler: each of our sessions must be one of PostgreSQL, too, or its settings would hold for others. */
  async #refuseSharedSessions(connection: Connection): Promise<void> {
    const other = await Connection.open(this.#options.target, this.#options.statementTimeoutMs)
    try {
      const now = (await connection.query(PID)).rows[0] as { pid: number }
      if (other.greeting.pid === connection.greeting.pid || now.pid !== connection.greeting.pid)
        throw new OperatorError(
          'a pooler (PgBouncer, for example) gives each transaction another session: let it work in session mode, or connect to PostgreSQL itself',
        )
    } finally {
      other.close()
    }
  }

  /** Refuses new work; connections in use end when they are given back, at the latest after `deadlineMs`. */
  async close(deadlineMs = DATABASE_WAIT_MS): Promise<void> {
    this.#closed = true
    this.#rejectAll(new Unavailable('database: closed'))
    this.#closeIdle(() => true)
    if (!this.#isEmpty) {
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, deadlineMs)
        this.#onEmpty = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    clearInterval(this.#sweep)
    for (const connection of [...this.#connections]) void connection.condemn(new Unavailable('database: closed'))
  }

  #takeFresh(): Connection | undefined {
    const connection = this.#idle.at(-1)
    if (!connection || !this.#isFresh(connection)) return undefined
    this.#idle.pop()
    return connection
  }
  #isFresh({ lastAnswer }: Connection): boolean {
    return lastAnswer > this.#suspectUntil && performance.now() - lastAnswer < DATABASE_PROBE_AFTER_MS
  }

  #wait(signal: Cancellation | undefined): Promise<Connection> {
    if (this.#closed) throw new Unavailable('database: closed')
    return new Promise((resolve, reject) => {
      const since = performance.now()
      const settle = () => {
        this.#waitedMs += performance.now() - since
        signal?.removeEventListener('abort', giveUp)
      }
      const waiter: Waiter = {
        until: since + (signal ? this.#options.statementTimeoutMs : DATABASE_WAIT_MS),
        resolve: connection => {
          settle()
          resolve(connection)
        },
        reject: reason => {
          settle()
          reject(unavailable(reason))
        },
      }
      const giveUp = () => {
        this.#queue.splice(this.#queue.indexOf(waiter), 1)
        waiter.reject(signal!.reason)
      }
      signal?.addEventListener('abort', giveUp)
      this.#queue.push(waiter)
      this.#feed()
    })
  }

  /** Gets as many connections on their way as there are callers that wait. */
  #feed(): void {
    while (this.#queue.length > this.#opening + this.#probing) {
      const idle = this.#idle.pop()
      if (idle && this.#isFresh(idle)) this.#queue.shift()!.resolve(idle)
      else if (idle) void this.#probe(idle)
      else if (this.#mayOpen) void this.#openAnother()
      else return
    }
  }
  get #mayOpen(): boolean {
    if (this.#connections.size + this.#opening + this.#ending >= this.#options.maxConnections) return false
    return this.#isEmpty || performance.now() >= this.#noMoreUntil
  }
  #offer(connection: Connection): void {
    const waiter = this.#queue.shift()
    if (waiter) waiter.resolve(connection)
    else this.#idle.push(connection)
  }

  async #probe(connection: Connection): Promise<void> {
    this.#probing++
    const asked = performance.now()
    connection.query(PROBE).catch(() => {})
    const isThere = await connection.drained(DATABASE_PROBE_MS)
    this.#probing--
    if (isThere) this.release(connection)
    else if (!connection.isDead) this.#vanished(connection, asked)
    this.#feed()
  }
  /** No answer and no error: the way to the server is gone, and probably that of the others. */
  #vanished(connection: Connection, since: number): void {
    this.#lost('no answer')
    this.#suspect(since)
    this.condemn(connection, new Unavailable('database: no answer'))
    this.#closeIdle(({ lastAnswer }) => lastAnswer < since)
  }

  async #openAnother(): Promise<void> {
    this.#opening++
    try {
      const connection = await this.#connect()
      this.#opening--
      this.release(connection)
    } catch (error) {
      this.#opening--
      if (this.#isEmpty) {
        this.#rejectAll(error)
        this.#lost(reasonOf(error))
        this.#onEmpty?.()
      } else this.#goOnWithout(error)
    }
    this.#feed()
  }
  async #connect(): Promise<Connection> {
    const { target, statementTimeoutMs } = this.#options
    const connection = await Connection.open(target, statementTimeoutMs, this.#goodHost)
    this.#goodHost = connection.host
    this.isReadOnly = connection.isStandby
    this.#connections.add(connection)
    this.#watch()
    this.#log.debug('Database connection opened', { host: connection.host.host, connections: this.#connections.size })
    connection.onDeath = (reason, isOurs) => {
      this.#forget(connection)
      if (!isOurs) this.#lost(reason.message)
      this.#feed()
    }
    return connection
  }
  /** Others have the connections that the server gives, for example: who waits, waits for ours. */
  #goOnWithout(error: unknown): void {
    this.#noMoreUntil = performance.now() + DATABASE_NO_MORE_MS
    const connections = this.#connections.size
    // Another attempt that is under way may still find one.
    if (connections === 0) return
    this.#log.warning('Database gives no further connection', { connections, cause: reasonOf(error) })
  }
  #remove(connection: Connection): void {
    this.#forget(connection)
    connection.close()
    this.#feed()
  }
  #forget(connection: Connection): void {
    this.#connections.delete(connection)
    this.#idle = this.#idle.filter(other => other !== connection)
    if (this.#isEmpty) this.#onEmpty?.()
  }
  get #isEmpty(): boolean {
    return this.#connections.size + this.#opening === 0
  }
  #closeIdle(which: (connection: Connection) => boolean): void {
    for (const connection of this.#idle.filter(which)) this.#remove(connection)
  }
  #suspect(since: number): void {
    this.#suspectUntil = Math.max(this.#suspectUntil, since)
  }
  #lost(cause: string): void {
    if (this.isReachable) this.#log.warning('Database connection lost', { cause })
    this.isReachable = false
  }
  #rejectAll(reason: unknown): void {
    for (const waiter of this.#queue.splice(0)) waiter.reject(reason)
  }

  #watch(): void {
    // After the phase that reads sockets, so that a process that was held up does not take its own delay for theirs.
    this.#sweep ??= setInterval(() => setImmediate(() => this.#lookForOverdue()), DATABASE_SWEEP_MS).unref()
  }
  #lookForOverdue(): void {
    const now = performance.now()
    for (const connection of this.#connections) {
      const since = connection.busySince
      if (since === undefined || now - since < connection.patienceMs) continue
      this.#suspect(since)
      this.condemn(connection, new Unavailable(`database: no answer within ${connection.patienceMs} ms`))
    }
    for (const waiter of this.#queue.filter(({ until }) => until < now)) {
      this.#queue.splice(this.#queue.indexOf(waiter), 1)
      waiter.reject(new Unavailable('database: no connection was free in time'))
    }
    const spare = this.#connections.size - this.#options.minConnections
    for (const connection of this.#idle.slice(0, Math.max(spare, 0)))
      if (now - connection.lastAnswer > DATABASE_IDLE_MS) this.#remove(connection)
    this.#feed()
    if (this.#queue.length > 0 || this.#idle.length < this.#connections.size) return
    if (this.#connections.size > this.#options.minConnections) return
    clearInterval(this.#sweep)
    this.#sweep = undefined
  }
}
