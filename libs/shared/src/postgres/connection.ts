/**
 * One connection to PostgreSQL, from its first to its last moment. Statements are sent at once and answered in order.
 * Whatever happens to the connection, whoever waits is told, and nothing else is: no error of it is ever without a
 * listener. A connection that is condemned runs nothing any more.
 */
import type { Socket } from 'node:net'
import type pg from 'pg'
import { Bag, type InBag } from '../bag.ts'
import { DATABASE_CANCEL_MS, DATABASE_IDLE_IN_TRANSACTION_MS, DATABASE_LOCK_TIMEOUT_MS } from '../deadlines.ts'
import { OperatorError, Unavailable } from '../errors.ts'
import { isTraced, traced } from '../tracing.ts'
import { isHarmless, isOutage, unavailable } from './outage.ts'
import { passwordFor } from './password-file.ts'
import { attempts, openInlet, openSocket, TlsRefused } from './socket.ts'
import { type Sql, sql } from './sql.ts'
import type { Host, SessionAttributes, Target } from './target.ts'
import { WireClient, type WireResult } from './wire.ts'

/** What the server is when the connection begins. */
export type Greeting = {
  /** Of the server process; of a pooler in between the driver knows another one. */
  readonly pid: number
  readonly standby: boolean
}

/** What the server gave to cancel by; the driver's types do not know it. */
type BackendKey = { readonly processID: number | null; readonly secretKey: number | null }

/** A statement that waits for its answer. */
class Unanswered implements InBag {
  place = -1
  readonly reject: (reason: Unavailable) => void
  constructor(reject: (reason: Unavailable) => void) {
    this.reject = reject
  }
}

export class Connection {
  readonly host: Host
  /** When the server last said something, as `performance.now()` has it. */
  lastAnswer = performance.now()
  /** How long a statement may stay without any answer. */
  patienceMs = Infinity
  readonly #client: WireClient & BackendKey
  readonly #socket: Socket
  readonly #target: Target
  readonly #encrypted: boolean
  #greeting: Greeting = { pid: 0, standby: false }
  /** Statements on the wire: how to fail each one, and since when the oldest is there or the server made progress. */
  readonly #unanswered = new Bag<Unanswered>()
  #busySince = 0
  #dead: Unavailable | undefined
  #tainted = false
  #onDeath: (reason: Unavailable, isOurs: boolean) => void = () => {}
  #onDrained: (() => void) | undefined

  private constructor(target: Target, host: Host, encrypted: boolean, socket: Socket) {
    this.#target = target
    this.host = host
    this.#encrypted = encrypted
    this.#socket = socket
    this.#client = new WireClient({
      user: target.user,
      password: () => {
        const password = passwordFor(target, host)
        if (password === undefined) throw new OperatorError('the server asks for a password, and none is given')
        return password
      },
      database: target.database,
      host: host.host,
      port: host.port,
      ssl: false,
      sslnegotiation: 'postgres',
      stream: () => adopted(socket),
      application_name: target.applicationName,
      ...(target.options !== undefined && { options: target.options }),
    } as pg.ClientConfig) as WireClient & BackendKey
    this.#client.on('error', error => this.#die(unavailable(error)))
    this.#client.on('end', () => this.#die(new Unavailable('database: connection ended')))
  }

  /**
   * Opens a connection to the first host that accepts one and is what `target_session_attrs` asks for, beginning with
   * `first`. Rejects with the driver's error, which tells a wrong password from an absent server.
   */
  static async open(target: Target, statementTimeoutMs: number, first?: Host): Promise<Connection> {
    const hosts = first ? [first, ...target.hosts.filter(host => host !== first)] : target.hosts
    const failures: unknown[] = []
    for (const wanted of rounds(target.sessionAttributes))
      for (const host of hosts) {
        try {
          return await Connection.#openHost(target, host, wanted, statementTimeoutMs)
        } catch (error) {
          failures.push(error)
        }
      }
    throw failures.length === 1 ? failures[0] : new AggregateError(failures)
  }

  static async #openHost(
    target: Target,
    host: Host,
    wanted: SessionAttributes,
    statementTimeoutMs: number,
  ): Promise<Connection> {
    const ways = attempts(target.sslMode, host)
    for (const [i, encrypted] of ways.entries()) {
      try {
        const connection = await Connection.#begin(target, host, encrypted, statementTimeoutMs)
        if (suits(connection.greeting, wanted)) return connection
        connection.condemn(new Unavailable('database: not the kind of server that was asked for'))
        throw new Error(`${host.host}:${host.port} is ${connection.isStandby ? 'a standby' : 'no standby'}`)
      } catch (error) {
        if (i === ways.length - 1 || !isWorthTheOtherWay(error)) throw error
      }
    }
    throw new Error('unreachable')
  }

  static async #begin(target: Target, host: Host, encrypted: boolean, statementTimeoutMs: number): Promise<Connection> {
    const start = performance.now()
    const socket = await openInlet(target, host, encrypted, target.connectMs)
    const connection = new Connection(target, host, encrypted, socket)
    const late = setTimeout(
      () => connection.condemn(new Unavailable(`database: no session within ${target.connectMs} ms`)),
      target.connectMs - (performance.now() - start),
    )
    try {
      await connection.#client.connect()
      connection.#greeting = await connection.#greet(statementTimeoutMs)
      return connection
    } catch (error) {
      connection.condemn(unavailable(error))
      throw error
    } finally {
      clearTimeout(late)
    }
  }

  /** Sets what must not depend on the role, the database or the server, and learns what the server is. */
  async #greet(statementTimeoutMs: number): Promise<Greeting> {
    const settings = { ...sessionSettings(statementTimeoutMs, this.#target), ...this.#target.settings }
    const names = Object.keys(settings)
    const { rows } = await this.query(sql`
      SELECT pg_backend_pid() AS pid, pg_is_in_recovery() AS standby,
        (SELECT count(set_config(name, value, FALSE)) FROM unnest(${names}::text[], ${Object.values(settings)}::text[],
            ${names.map(name => SINCE_VERSION[name] ?? 0)}::int[]) AS setting (name, value, since)
          WHERE current_setting('server_version_num')::int >= since * 10000
            AND (name <> 'client_connection_check_interval' OR version() LIKE '%linux%'))`)
    return rows[0] as Greeting
  }

  get greeting(): Greeting {
    return this.#greeting
  }
  get isStandby(): boolean {
    return this.#greeting.standby
  }
  /** Whether something between this process and the server answers in its name. */
  get isPooled(): boolean {
    return !this.#target.embedded && this.#client.processID !== this.#greeting.pid
  }
  get isDead(): boolean {
    return this.#dead !== undefined
  }
  /** Whether an answer of the server says that the connection should serve nobody else. */
  get isTainted(): boolean {
    return this.#tainted
  }
  get isBusy(): boolean {
    return this.#unanswered.size > 0
  }
  /** Since when a statement waits without any answer; undefined when none does. */
  get busySince(): number | undefined {
    return this.isBusy ? this.#busySince : undefined
  }
  /** `isOurs`: it was condemned here. */
  set onDeath(listener: (reason: Unavailable, isOurs: boolean) => void) {
    this.#onDeath = listener
  }

  query(statement: Sql): Promise<WireResult> {
    if (!isTraced()) return this.#query(statement)
    const text = statement.text.trim()
    const attributes = { 'db.system.name': 'postgresql', 'db.query.text': text }
    return traced(
      () => ({ name: `SQL ${/^\w+/.exec(text)?.[0]}`, kind: 'client', attributes }),
      () => this.#query(statement),
    )
  }
  #query(statement: Sql): Promise<WireResult> {
    return new Promise((resolve, reject) => {
      if (this.#dead) return reject(this.#dead)
      if (!this.isBusy) this.#busySince = performance.now()
      const waiting = new Unanswered(reject)
      this.#unanswered.add(waiting)
      const answered = (error: unknown, result?: WireResult) => {
        if (!this.#unanswered.delete(waiting)) return
        this.lastAnswer = this.#busySince = performance.now()
        if (result) resolve(result)
        else reject(this.#judge(error))
        if (this.#unanswered.size === 0) this.#onDrained?.()
      }
      try {
        this.#client.query(statement, answered)
      } catch (error) {
        // A parameter that cannot be sent; nothing was.
        this.#unanswered.delete(waiting)
        reject(error)
      }
    })
  }

  /** Frees whoever waits, at once; what runs may still end by itself. */
  abandon(reason: Unavailable): void {
    for (const { reject } of this.#unanswered.all()) reject(reason)
  }
  /** Whether everything on the wire is answered within `ms`, and the connection is fit for others. */
  async drained(ms: number): Promise<boolean> {
    if (this.isBusy && !this.isDead) {
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, ms)
        this.#onDrained = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      this.#onDrained = undefined
    }
    return !this.isBusy && !this.isDead && !this.isTainted
  }

  /** Ends the connection now: whoever waits is freed, what runs is cancelled; resolves when that is tried. */
  async condemn(reason: Unavailable): Promise<void> {
    const runs = this.isBusy
    this.#die(reason, true)
    if (runs) await this.#cancel()
  }
  /** Says goodbye. */
  close(): void {
    this.#dead ??= new Unavailable('database: connection closed')
    // The driver's end waits for the other side; ours does not.
    void this.#client.end().catch(() => {})
    this.#socket.destroySoon()
  }

  /** Asks the server to stop what this connection runs, on a connection of its own (a protocol rule). */
  async #cancel(): Promise<void> {
    const { processID, secretKey } = this.#client
    if (this.#target.embedded || processID === null || secretKey === null) return
    const request = Buffer.alloc(16)
    request.writeInt32BE(16, 0)
    request.writeInt32BE(CANCEL_REQUEST, 4)
    request.writeInt32BE(processID, 8)
    request.writeInt32BE(secretKey, 12)
    try {
      const socket = await openSocket(this.#target, this.host, this.#encrypted, DATABASE_CANCEL_MS)
      const late = setTimeout(() => socket.destroy(), DATABASE_CANCEL_MS)
      await new Promise<void>(resolve =>
        socket
          .once('close', () => resolve())
          .resume()
          .end(request),
      )
      clearTimeout(late)
    } catch {
      // A server that cannot be reached ends the statement by its own time-out.
    }
  }

  #judge(error: unknown): unknown {
    if (this.#dead) return this.#dead
    const { severity = '' } = error as { severity?: string }
    const isLast = severity === 'FATAL' || severity === 'PANIC'
    if (!isHarmless(error)) this.#tainted = true
    if (isLast) this.#die(unavailable(error))
    return isLast || isOutage(error) ? unavailable(error) : error
  }
  #die(reason: Unavailable, isOurs = false): void {
    if (this.#dead) return
    this.#dead = reason
    this.#socket.destroy()
    for (const { reject } of this.#unanswered.takeAll()) reject(reason)
    this.#onDrained?.()
    this.#onDeath(reason, isOurs)
  }
}

/** Code of a cancel request, in the place of a protocol version. */
const CANCEL_REQUEST = 80_877_102

/** The driver connects a socket that it is given; ours is connected. */
export function adopted(socket: Socket): Socket {
  socket.connect = () => {
    process.nextTick(() => socket.emit('connect'))
    return socket
  }
  return socket
}

/** `prefer-standby` looks for one first. */
const rounds = (attributes: SessionAttributes): readonly SessionAttributes[] =>
  attributes === 'prefer-standby' ? ['standby', 'any'] : [attributes]

function suits({ standby }: Greeting, wanted: SessionAttributes): boolean {
  if (wanted === 'primary' || wanted === 'read-write') return !standby
  return wanted === 'any' || standby
}

/** `prefer` and `allow` (the other ways are one only): whatever the server said against this way, or about TLS. */
function isWorthTheOtherWay(error: unknown): boolean {
  if (error instanceof TlsRefused) return true
  const code = (error as { code?: string }).code ?? ''
  return /^28/.test(code) || /^(ERR_SSL|ERR_TLS|EPROTO|CERT_|UNABLE_|SELF_|DEPTH_)/.test(code)
}

/** Settings that older servers do not have, and the version of PostgreSQL that brought them. */
const SINCE_VERSION: { readonly [name: string]: number } = {
  client_connection_check_interval: 14,
  idle_session_timeout: 14,
  transaction_timeout: 17,
}

/**
 * What is believed of a session is set. `synchronous_commit` stays the operator's. The last ones notice a client that is
 * gone, and are left out where the server cannot do them: PGlite has no sockets.
 */
const sessionSettings = (statementTimeoutMs: number, { embedded }: Target): { readonly [name: string]: string } => ({
  TimeZone: 'UTC',
  DateStyle: 'ISO, YMD',
  IntervalStyle: 'postgres',
  bytea_output: 'hex',
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  default_transaction_deferrable: 'off',
  // Statements find their rows by key. A plan that was made while a table was small would read all of it, and goes on
  // doing so with a thousand times the rows until the table is analyzed.
  enable_seqscan: 'off',
  // Rows are found by key, in memory or on a medium without a head that moves; compiling a statement never pays here.
  random_page_cost: '1.1',
  jit: 'off',
  statement_timeout: String(statementTimeoutMs),
  lock_timeout: String(DATABASE_LOCK_TIMEOUT_MS),
  idle_in_transaction_session_timeout: String(DATABASE_IDLE_IN_TRANSACTION_MS),
  // Connections are kept for the next burst, and migrations take hours.
  idle_session_timeout: '0',
  transaction_timeout: '0',
  ...(!embedded && {
    tcp_keepalives_idle: '10',
    tcp_keepalives_interval: '5',
    tcp_keepalives_count: '3',
    tcp_user_timeout: '20000',
    client_connection_check_interval: '2000',
  }),
})
