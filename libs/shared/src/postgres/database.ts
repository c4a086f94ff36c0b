/**
 * PostgreSQL through `pg`: SQL as text, values as parameters, rows with the wire's own types.
 *
 * A statement written with `sql` is prepared once per connection. An outage surfaces as `Unavailable`; every other
 * failure is a bug. A query on the database inside a transaction's callback would wait for ever on a pool of one:
 * use the transaction that the callback is given.
 */
import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import type { DatabaseConfig } from '../config.ts'
import { OperatorError, Unavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import { type Queryable, type Sql, sql } from './sql.ts'
import { WireClient } from './wire.ts'

export type DatabaseOptions = {
  connection: pg.ClientConfig
  minConnections: number
  maxConnections: number
}

export class Database implements Queryable {
  readonly #pool: pg.Pool
  #reachable = true

  constructor({ connection, minConnections, maxConnections }: DatabaseOptions, log: Log) {
    this.#pool = new pg.Pool({
      ...connection,
      Client: WireClient,
      min: minConnections,
      max: maxConnections,
      connectionTimeoutMillis: 4_000,
      idleTimeoutMillis: 300_000,
      keepAlive: true,
    } as pg.PoolConfig)
    this.#pool.on('error', error => {
      this.#reachable = false
      log.warning('Database connection lost', { cause: error.message })
    })
  }

  /** Opens a first connection. Rejects with the driver's error, which tells a wrong password from an absent server. */
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
   * Runs `body` in one READ COMMITTED transaction; commits unless `commits` says no to its result, rolls back when it
   * throws. Statements that the body does not wait for are sent at once, in order, so that several cost one round
   * trip; their failures surface here, before anything is committed. A commit whose answer is lost rejects with
   * `Unavailable`: it may have happened.
   */
  async transaction<T>(body: (tx: Queryable) => Promise<T>, commits: (result: T) => boolean = () => true): Promise<T> {
    const client = await this.#connect()
    const sent: Promise<unknown>[] = []
    const send = (statement: Sql): Promise<pg.QueryResult> => {
      const result = this.#query(client, statement)
      sent.push(result)
      return result
    }
    const read = <T>(statement: Sql, pick: (result: pg.QueryResult) => T): Promise<T> => {
      const picked = send(statement).then(pick)
      picked.catch(() => {})
      return picked
    }
    const tx: Queryable = {
      all: statement => read(statement, result => result.rows as never),
      one: statement => read(statement, result => result.rows[0] as never),
      run: statement => read(statement, result => result.rowCount ?? 0),
    }
    let discard = false
    try {
      void send(BEGIN)
      const result = await body(tx)
      const end = send(commits(result) ? COMMIT : ROLLBACK)
      await Promise.all(sent)
      if (commits(result) && (await end).command !== 'COMMIT') throw new Error('the transaction was rolled back')
      return result
    } catch (error) {
      const outcome = await this.#rollBack(client, sent)
      discard = !outcome
      throw error
    } finally {
      client.release(discard)
    }
  }

  /** Whether the connection is fit for further use. */
  async #rollBack(client: pg.PoolClient, sent: Promise<unknown>[]): Promise<boolean> {
    await Promise.allSettled(sent)
    try {
      await this.#query(client, ROLLBACK)
      return true
    } catch {
      return false
    }
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
      const result = await on.query(name === '' ? text : { name, text, values })
      this.#reachable = true
      return result
    } catch (error) {
      throw this.#classify(error)
    }
  }
  #classify(error: unknown): unknown {
    if (!isOutage(error)) return error
    this.#reachable = false
    return new Unavailable(`database: ${(error as Error).message || (error as { code?: string }).code}`, {
      cause: error,
    })
  }
}

const BEGIN = sql`BEGIN`
const COMMIT = sql`COMMIT`
const ROLLBACK = sql`ROLLBACK`

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

/** Causes that no retry mends: wrong credentials, no such database or role. */
const FINAL_CLASSES = new Set(['28', '3D', '42'])

/**
 * Connects, trying again as the operator wishes (spec 06 §8.3): `maxAttempts` failures in a row are final, 0 and 1 mean
 * that the first is. Rejects with an `OperatorError`.
 */
export async function openPostgres(
  config: Extract<DatabaseConfig, { kind: 'POSTGRESQL' }>,
  log: Log,
): Promise<Database> {
  const database = new Database(
    {
      connection: connectionFromUrl(config.url),
      minConnections: config.minConnections,
      maxConnections: config.maxConnections,
    },
    log,
  )
  for (let attempt = 1; ; attempt++) {
    try {
      await database.open()
      return database
    } catch (error) {
      const code = (error as { code?: string }).code ?? ''
      if (attempt >= config.maxAttempts || FINAL_CLASSES.has(code.slice(0, 2)) || code === 'ERR_INVALID_URL') {
        await database.close()
        throw new OperatorError(`--db: cannot use the database${placeOf(config.url)}: ${reasonOf(error)}`, {
          cause: error,
        })
      }
      const cause = reasonOf(error)
      log.warning(`Database connection lost (${cause}), retrying in ${config.retryPauseSeconds} seconds`)
      await setTimeout(config.retryPauseSeconds * 1000)
    }
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(reasonOf).join('; ')
  return error instanceof Error ? error.message || (error as { code?: string }).code || error.name : String(error)
}
/** ` host:port/name` of a URL, nothing when that is not plain to see. */
function placeOf(url: string): string {
  const place = /^\w+:\/\/(?:[^/?@]*@)?([^/?@]+\/[^/?@]+)(?:\?|$)/.exec(url)?.[1]
  return place === undefined ? '' : ` ${place}`
}

/** Connection settings from a URL (spec 06 §8.2). */
export function connectionFromUrl(url: string): pg.ClientConfig {
  return { application_name: 'parsec', connectionString: url }
}
