/**
 * PostgreSQL through `pg`: SQL as text, values as parameters, rows with the wire's own types.
 *
 * A statement written with `sql` is prepared once per connection. An outage surfaces as `Unavailable`; every other
 * failure is a bug. A query on the database inside a transaction's callback would wait for ever on a pool of one:
 * use the transaction that the callback is given.
 */
import pg from 'pg'
import { DateTime, Uuid } from './codec/values.ts'
import { Unavailable } from './errors.ts'
import type { Log } from './log.ts'

/** A statement with its parameters. */
export type Sql = { readonly name: string; readonly text: string; readonly values: unknown[] }

const statements = new WeakMap<TemplateStringsArray, { name: string; text: string }>()
const statementNames = (function* () {
  for (let n = 1; ; n++) yield `s${n}`
})()

/** ``sql`SELECT … WHERE x = ${x}` ``: every interpolation is a parameter, so nothing is ever escaped. */
export function sql(strings: TemplateStringsArray, ...values: unknown[]): Sql {
  let statement = statements.get(strings)
  if (!statement) {
    statement = { name: statementNames.next().value, text: strings.reduce((text, part, i) => `${text}$${i}${part}`) }
    statements.set(strings, statement)
  }
  return { ...statement, values }
}

/** What can run statements: the database, where each commits by itself, or one transaction. */
export type Queryable = {
  /** All rows. */
  all<Row extends object>(statement: Sql): Promise<Row[]>
  /** The first row. */
  one<Row extends object>(statement: Sql): Promise<Row | undefined>
  /** The number of rows that were written. */
  run(statement: Sql): Promise<number>
}

const OID_INT8 = 20
const OID_TIMESTAMPTZ = 1184
const OID_UUID = 2950
const parsers = new Map<number, (text: string) => unknown>([
  [OID_INT8, Number],
  [OID_TIMESTAMPTZ, text => DateTime.parse(text)],
  [OID_UUID, text => Uuid.parse(text)],
])
const types = {
  getTypeParser: (oid: number, format?: 'text' | 'binary') =>
    (format !== 'binary' && parsers.get(oid)) || pg.types.getTypeParser(oid as never, format as never),
} as pg.CustomTypesConfig

export type DatabaseOptions = {
  connection: pg.ClientConfig
  minConnections: number
  maxConnections: number
  /** Off where connections share one backend (PGlite): a name could then be taken by another connection. */
  prepare: boolean
}

export class Database implements Queryable {
  readonly #pool: pg.Pool
  readonly #prepare: boolean
  #reachable = true

  constructor({ connection, minConnections, maxConnections, prepare }: DatabaseOptions, log: Log) {
    this.#prepare = prepare
    this.#pool = new pg.Pool({
      ...connection,
      types,
      min: minConnections,
      max: maxConnections,
      connectionTimeoutMillis: 4_000,
      idleTimeoutMillis: 300_000,
      keepAlive: true,
    })
    this.#pool.on('error', error => {
      this.#reachable = false
      log.warning('Database connection lost', { cause: error.message })
    })
  }

  /** Opens the first connections. Rejects with the driver's error, which tells a wrong password from an absent server. */
  async open(): Promise<void> {
    const client = await this.#pool.connect()
    client.release()
    this.#reachable = true
  }
  /** False from an outage until the next success. */
  get reachable(): boolean {
    return this.#reachable
  }

  async all<Row extends object>(statement: Sql): Promise<Row[]> {
    return (await this.#query(this.#pool, statement)).rows as Row[]
  }
  async one<Row extends object>(statement: Sql): Promise<Row | undefined> {
    return (await this.#query(this.#pool, statement)).rows[0] as Row | undefined
  }
  async run(statement: Sql): Promise<number> {
    return (await this.#query(this.#pool, statement)).rowCount ?? 0
  }

  /**
   * Runs `body` in one READ COMMITTED transaction: commits what it returns unless `commits` says no, rolls back when
   * it throws. A commit whose answer is lost rejects with `Unavailable`: it may have happened.
   */
  async transaction<T>(body: (tx: Queryable) => Promise<T>, commits: (result: T) => boolean = () => true): Promise<T> {
    const client = await this.#connect()
    let broken: Error | undefined
    try {
      await this.#query(client, BEGIN)
      const result = await body({
        all: async statement => (await this.#query(client, statement)).rows as never,
        one: async statement => (await this.#query(client, statement)).rows[0] as never,
        run: async statement => (await this.#query(client, statement)).rowCount ?? 0,
      })
      await this.#query(client, commits(result) ? COMMIT : ROLLBACK)
      return result
    } catch (error) {
      broken = error instanceof Error ? error : new Error(String(error))
      if (!(error instanceof Unavailable)) {
        try {
          await client.query('ROLLBACK')
          broken = undefined
        } catch {
          // The connection is thrown away below, which rolls back too.
        }
      }
      throw error
    } finally {
      client.release(broken)
    }
  }

  /** Several statements without parameters, as a migration file has them. */
  async script(text: string): Promise<void> {
    await this.#pool.query(text)
  }

  async close(): Promise<void> {
    await this.#pool.end()
  }

  async #connect(): Promise<pg.PoolClient> {
    try {
      return await this.#pool.connect()
    } catch (error) {
      throw this.#classify(error)
    }
  }
  async #query(on: pg.Pool | pg.PoolClient, { name, text, values }: Sql): Promise<pg.QueryResult> {
    try {
      const result = await on.query(this.#prepare && name !== '' ? { name, text, values } : { text, values })
      this.#reachable = true
      return result
    } catch (error) {
      throw this.#classify(error)
    }
  }
  #classify(error: unknown): unknown {
    if (!isOutage(error)) return error
    this.#reachable = false
    return new Unavailable(`database: ${(error as Error).message || (error as { code?: string }).code}`, { cause: error })
  }
}

const BEGIN: Sql = { name: '', text: 'BEGIN', values: [] }
const COMMIT: Sql = { name: '', text: 'COMMIT', values: [] }
const ROLLBACK: Sql = { name: '', text: 'ROLLBACK', values: [] }

/** SQLSTATE classes of a server that is away or overloaded: connection, resources, operator intervention. */
const OUTAGE_CLASSES = new Set(['08', '53', '57'])

/** Whether the database, not the statement, is the trouble. */
export function isOutage(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = (error as { code?: unknown }).code
  if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)) return OUTAGE_CLASSES.has(code.slice(0, 2))
  if (typeof code === 'string' && /^E[A-Z]+$/.test(code)) return true
  return /Connection terminated|timeout exceeded|Client was closed|not queryable|connection error/i.test(error.message)
}

/** Connection settings from a URL (spec 06 §8.2); query parameters that name no connection setting become session settings. */
export function connectionFromUrl(url: string): pg.ClientConfig {
  return { connectionString: url, application_name: 'parsec' }
}
