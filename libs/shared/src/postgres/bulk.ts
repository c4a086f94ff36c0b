/**
 * A session for work in bulk: rows by COPY as streams that hold each other back, and a few statements between them. It
 * has no pool, and no time-outs but one: a table may take hours, but while we wait for the server it is not silent for long.
 */
import type { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import pg from 'pg'
import { from as copyFrom, to as copyTo } from 'pg-copy-streams'
import { BULK_LOOK_MS } from '../deadlines.ts'
import { OperatorError, reasonOf } from '../errors.ts'
import { adopted } from './connection.ts'
import { passwordFor } from './password-file.ts'
import { attempts, openSocket } from './socket.ts'
import { type Host, placeOf, type Target } from './target.ts'
import { connectionOf } from './wire.ts'

export type RowStream = Readable & { readonly rowCount: number }
export type RowSink = Writable & { readonly rowCount: number }

const SETTINGS = `
  SET TimeZone = 'UTC'; SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0;
  SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
  SET default_transaction_isolation = 'read committed'; SET client_encoding = 'UTF8'`

/** Keys and sums as numbers; instants as text, which keeps their microseconds. */
const types = {
  getTypeParser: (oid: number, format?: 'text' | 'binary') => {
    if (oid === pg.types.builtins.INT8) return Number
    if (oid === pg.types.builtins.TIMESTAMPTZ) return String
    return pg.types.getTypeParser(oid, format as 'text')
  },
} as pg.CustomTypesConfig

export class BulkSession {
  readonly #client: pg.Client
  /** Names the database. */
  readonly #subject: string
  readonly #silence: Silence
  #failure: Error | undefined

  private constructor(
    client: pg.Client,
    socket: Socket,
    { subject, silenceMs }: { subject: string; silenceMs: number },
  ) {
    this.#client = client
    this.#subject = subject
    client.on('error', error => {
      this.#failure ??= this.#named(error)
    })
    this.#silence = new Silence(socket, silenceMs, () => {
      this.#failure ??= new OperatorError(
        `${subject} has been silent for ${silenceMs / 1000} seconds: run this again when it answers, or give it more time with --max-silence-seconds`,
      )
      socket.destroy(this.#failure)
    })
  }

  /** A failure of the database or of the way to it says which one that is: a copy has two, and either ends both streams. */
  #named(error: Error): Error {
    // The same object: its stream has told it already.
    if (!/^--\w+: /.test(error.message))
      error.message = `${this.#subject} failed: ${reasonOf(error)}: run this again when that is mended`
    return error
  }

  /**
   * Throws an `OperatorError` that begins with `option`, which names the database, as every later failure does. When the
   * server is silent for longer than `silenceMs` while something is waited for, that rejects with one, too, and the session
   * is at its end.
   */
  static async open(target: Target, option: string, silenceMs: number): Promise<BulkSession> {
    const failures: unknown[] = []
    for (const host of target.hosts)
      for (const encrypted of attempts(target.sslMode, host)) {
        try {
          return await BulkSession.#begin(target, { host, encrypted, option, silenceMs })
        } catch (error) {
          failures.push(error)
        }
      }
    const cause = failures.map(reasonOf).join('; ')
    throw new OperatorError(`${option}: cannot use the database ${placeOf(target)}: ${cause}`, { cause: failures[0] })
  }

  static async #begin(target: Target, { host, encrypted, option, silenceMs }: Beginning): Promise<BulkSession> {
    const socket = await openSocket(target, host, encrypted, target.connectMs)
    const client = new pg.Client({
      user: target.user,
      password: () => passwordFor(target, host) ?? '',
      database: target.database,
      host: host.host,
      port: host.port,
      ssl: false,
      connectionTimeoutMillis: target.connectMs,
      stream: () => adopted(socket),
      application_name: target.applicationName,
      types,
      ...(target.options !== undefined && { options: target.options }),
    } as pg.ClientConfig)
    const subject = `${option}: the database ${placeOf(target)}`
    const session = new BulkSession(client, socket, { subject, silenceMs })
    try {
      await client.connect()
      await session.#ask(SETTINGS)
      for (const [name, value] of Object.entries(target.settings))
        await session.#ask('SELECT set_config($1, $2, FALSE)', [name, value])
      return session
    } catch (error) {
      await session.close()
      throw error
    }
  }

  async rows<Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> {
    return (await this.#query(text, values)).rows as Row[]
  }
  /** The number of rows that were written. */
  async run(text: string, values: unknown[] = []): Promise<number> {
    return (await this.#query(text, values)).rowCount ?? 0
  }
  /**
   * The rows of a query a page at a time; inside a transaction, and one query at once. `query` has no parameters: what is
   * little comes in one round trip.
   */
  async *pages<Row extends object>(query: string, size: number): AsyncGenerator<Row[]> {
    const fetch = `FETCH ${size} FROM page`
    const results = await this.#query(`CLOSE ALL; DECLARE page NO SCROLL CURSOR FOR ${query}; ${fetch}`, [])
    for (let rows: Row[] = [results].flat().at(-1)!.rows; ; rows = await this.rows<Row>(fetch)) {
      if (rows.length > 0) yield rows
      if (rows.length < size) return
    }
  }
  /** The rows of a query in PostgreSQL's binary form. */
  read(query: string): RowStream {
    const rows = this.#client.query(copyTo(`COPY (${query}) TO STDOUT (FORMAT binary)`))
    rows.on('error', error => this.#named(error))
    // Whoever reads them holds them back when there are enough.
    this.#silence.isAwaited = () => !rows.closed && rows.readableLength < rows.readableHighWaterMark
    return rows
  }
  /** Takes rows in that form; `into`: a table and its columns. It has them when it has finished. */
  write(into: string): RowSink {
    const sink = this.#client.query(copyFrom(`COPY ${into} FROM STDIN (FORMAT binary)`))
    sink.on('error', error => this.#named(error))
    this.#silence.isAwaited = () => !sink.closed && (sink.writableLength > 0 || sink.writableEnded || sink.destroyed)
    return sink
  }

  #query(text: string, values: unknown[]): Promise<pg.QueryResult> {
    return this.#ask(text, values).catch(error => {
      throw this.#named(error)
    })
  }
  async #ask(text: string, values: unknown[] = []): Promise<pg.QueryResult> {
    if (this.#failure) throw this.#failure
    this.#silence.isAwaited = ALWAYS
    try {
      return values.length > 0 ? await this.#client.query(text, values) : await this.#client.query(text)
    } finally {
      this.#silence.isAwaited = NEVER
    }
  }

  /** Ends the session; what was not committed is gone. */
  async close(): Promise<void> {
    this.#silence.forget()
    connectionOf(this.#client).stream.destroy()
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

type Beginning = { host: Host; encrypted: boolean; option: string; silenceMs: number }

/**
 * Looks at a socket every so often, and calls `onSilent` when nothing moved on it in so many looks in a row of those that
 * we waited for the server. Looks are counted, not time: a process that was stopped for a while has not waited.
 */
class Silence {
  /** Whether we wait for the server now. */
  isAwaited: () => boolean = NEVER
  readonly #socket: Socket
  readonly #onSilent: () => void
  readonly #most: number
  readonly #timer: NodeJS.Timeout
  #looks = 0
  #moved = 0

  constructor(socket: Socket, ms: number, onSilent: () => void) {
    this.#socket = socket
    this.#onSilent = onSilent
    this.#most = Math.ceil(ms / BULK_LOOK_MS)
    this.#timer = setInterval(() => this.#look(), BULK_LOOK_MS)
  }
  forget(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    const { bytesRead, bytesWritten, writableLength } = this.#socket
    const moved = bytesRead + bytesWritten - writableLength
    if (moved !== this.#moved || !this.isAwaited()) this.#looks = 0
    else this.#looks++
    this.#moved = moved
    if (this.#looks < this.#most) return
    this.forget()
    this.#onSilent()
  }
}
const NEVER = () => false
const ALWAYS = () => true
