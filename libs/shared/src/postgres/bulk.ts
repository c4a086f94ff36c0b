/**
 * A session for work in bulk: rows by COPY as streams that hold each other back, and a few statements between them. It
 * has no pool and no time-outs, because a table may take hours; whoever uses it gives up by closing it.
 */
import type { Readable, Writable } from 'node:stream'
import pg from 'pg'
import { from as copyFrom, to as copyTo } from 'pg-copy-streams'
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
  #failure: Error | undefined

  private constructor(client: pg.Client) {
    this.#client = client
    client.on('error', error => {
      this.#failure ??= error
    })
  }

  /** `option`: which names the database, for the refusal. */
  static async open(target: Target, option: string): Promise<BulkSession> {
    const failures: unknown[] = []
    for (const host of target.hosts)
      for (const encrypted of attempts(target.sslMode, host)) {
        try {
          return await BulkSession.#begin(target, host, encrypted)
        } catch (error) {
          failures.push(error)
        }
      }
    const cause = failures.map(reasonOf).join('; ')
    throw new OperatorError(`${option}: cannot use the database ${placeOf(target)}: ${cause}`, { cause: failures[0] })
  }

  static async #begin(target: Target, host: Host, encrypted: boolean): Promise<BulkSession> {
    const socket = await openSocket(target, host, encrypted, target.connectMs)
    const client = new pg.Client({
      user: target.user,
      password: () => passwordFor(target, host) ?? '',
      database: target.database,
      host: host.host,
      port: host.port,
      ssl: false,
      stream: () => adopted(socket),
      application_name: target.applicationName,
      types,
      ...(target.options !== undefined && { options: target.options }),
    } as pg.ClientConfig)
    const session = new BulkSession(client)
    try {
      await client.connect()
      await client.query(SETTINGS)
      for (const [name, value] of Object.entries(target.settings))
        await client.query('SELECT set_config($1, $2, FALSE)', [name, value])
      return session
    } catch (error) {
      socket.destroy()
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
    const results = await this.#query(`CLOSE ALL; DECLARE page NO SCROLL CURSOR FOR ${query}; ${fetch}`)
    for (let rows: Row[] = [results].flat().at(-1)!.rows; ; rows = await this.rows<Row>(fetch)) {
      if (rows.length > 0) yield rows
      if (rows.length < size) return
    }
  }
  /** The rows of a query in PostgreSQL's binary form. */
  read(query: string): RowStream {
    return this.#client.query(copyTo(`COPY (${query}) TO STDOUT (FORMAT binary)`))
  }
  /** Takes rows in that form; `into`: a table and its columns. It has them when it has finished. */
  write(into: string): RowSink {
    return this.#client.query(copyFrom(`COPY ${into} FROM STDIN (FORMAT binary)`))
  }

  async #query(text: string, values: unknown[] = []): Promise<pg.QueryResult> {
    if (this.#failure) throw this.#failure
    return values.length > 0 ? await this.#client.query(text, values) : await this.#client.query(text)
  }

  /** Ends the session; what was not committed is gone. */
  async close(): Promise<void> {
    connectionOf(this.#client).stream.destroy()
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
