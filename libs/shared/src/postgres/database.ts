/**
 * PostgreSQL: SQL as text, values as parameters, rows with the wire's own types.
 *
 * A statement written with `sql` is prepared once per connection. An outage surfaces as `Unavailable`, and so does a
 * wait that took too long: nothing here waits for ever. Every other failure is a bug. A query on the database inside a
 * transaction's callback would wait in vain on a pool of one: use the transaction that the callback is given.
 */
import type { Budget } from '../budget.ts'
import { DATABASE_STATEMENT_MS, DATABASE_STATEMENT_TIMEOUT_MS } from '../deadlines.ts'
import { Unavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Connection } from './connection.ts'
import { isAftermath, isReadOnly } from './outage.ts'
import { Pool, type PoolStatistics } from './pool.ts'
import { type Queryable, type Sql, sql } from './sql.ts'
import type { Target } from './target.ts'
import type { WireResult } from './wire.ts'

/** The database as a caller sees it: statements that commit by themselves, and transactions. */
export type Transactional = Queryable & {
  /**
   * Runs `body` in one READ COMMITTED transaction; commits unless `commits` says no to its result, rolls back when it
   * throws. Statements that the body does not wait for are sent at once, in order, so that several cost one round
   * trip; their failures surface here, before anything is committed, the first one in the place of all others. A commit
   * whose answer is lost rejects with `Unavailable`: it may have happened. `tx` is of no use after the body's end.
   */
  transaction<T>(body: (tx: Queryable) => Promise<T>, commits?: (result: T) => boolean): Promise<T>
}

export type DatabaseOptions = {
  target: Target
  minConnections: number
  maxConnections: number
  /** For one statement that has no budget of its own. */
  statementMs?: number
}

class Statements implements Transactional {
  readonly #pool: Pool
  readonly #budget: Budget | undefined
  constructor(pool: Pool, budget?: Budget) {
    this.#pool = pool
    this.#budget = budget
  }

  async all<Row extends object>(statement: Sql): Promise<Row[]> {
    return (await this.#query(statement)).rows as Row[]
  }
  async one<Row extends object>(statement: Sql): Promise<Row | undefined> {
    return (await this.#query(statement)).rows[0] as Row | undefined
  }
  async run(statement: Sql): Promise<number> {
    return (await this.#query(statement)).rowCount ?? 0
  }
  #query(statement: Sql): Promise<WireResult> {
    return this.#withConnection(connection => ({ result: connection.query(statement), leave: () => {} }))
  }
  transaction<T>(body: (tx: Queryable) => Promise<T>, commits: (result: T) => boolean = () => true): Promise<T> {
    return this.#withConnection(connection => {
      const tx = new Transaction(connection)
      return { result: tx.run(body, commits), leave: () => tx.leave() }
    })
  }

  /** Frees the caller when its time is over, whatever the work does then; `leave` comes before others may have the connection. */
  async #withConnection<T>(work: (connection: Connection) => { result: Promise<T>; leave: () => void }): Promise<T> {
    const budget = this.#budget
    const connection = await this.#pool.acquire(budget)
    const { result, leave } = work(connection)
    try {
      const done = await (budget ? budget.race(result) : result)
      this.#pool.works()
      return done
    } catch (error) {
      if (error instanceof Unavailable && isReadOnly(error.cause)) this.#pool.foundReadOnly()
      throw error
    } finally {
      leave()
      if (budget?.reason) connection.abandon(budget.reason)
      this.#pool.release(connection)
    }
  }
}

/** One transaction on a connection. Of its failures only the first counts: the others follow from it. */
class Transaction {
  readonly #connection: Connection
  readonly #sent: Promise<unknown>[] = []
  #failure: unknown
  #isOver = false
  #hasEnded = false
  constructor(connection: Connection) {
    this.#connection = connection
  }

  async run<T>(body: (tx: Queryable) => Promise<T>, commits: (result: T) => boolean): Promise<T> {
    const tx: Queryable = {
      all: <Row extends object>(statement: Sql) => this.#pick(statement, result => result.rows as Row[]),
      one: <Row extends object>(statement: Sql) => this.#pick(statement, result => result.rows[0] as Row | undefined),
      run: statement => this.#pick(statement, result => result.rowCount ?? 0),
    }
    try {
      void this.#send(BEGIN)
      const result = await body(tx)
      if (this.#isOver) throw new Unavailable('database: nobody waits any more')
      this.#isOver = true
      const end = this.#send(commits(result) ? COMMIT : ROLLBACK)
      await Promise.all(this.#sent)
      this.#hasEnded = true
      if (commits(result) && (await end).command !== 'COMMIT') throw new Error('the transaction was rolled back')
      return result
    } catch (error) {
      throw this.#failure ?? error
    }
  }
  /** Whatever the body still does, it does not do it on this connection; what is not committed never will be. */
  leave(): void {
    this.#isOver = true
    if (this.#hasEnded) return
    void this.#send(ROLLBACK)
  }

  #pick<T>(statement: Sql, pick: (result: WireResult) => T): Promise<T> {
    const picked = this.#isOver
      ? Promise.reject(new Error('a statement after the end of its transaction'))
      : this.#send(statement).then(pick)
    picked.catch(ignore)
    return picked
  }
  #send(statement: Sql): Promise<WireResult> {
    const answer = this.#connection.query(statement).catch(error => {
      if (!isAftermath(error)) this.#failure ??= error
      throw this.#failure ?? error
    })
    answer.catch(ignore)
    this.#sent.push(answer)
    return answer
  }
}
/** A failure that surfaces where the transaction ends. */
const ignore = () => {}

export class Database extends Statements {
  readonly #pool: Pool

  constructor({ statementMs = DATABASE_STATEMENT_MS, ...options }: DatabaseOptions, log: Log) {
    const statementTimeoutMs = Math.max(DATABASE_STATEMENT_TIMEOUT_MS, statementMs)
    const pool = new Pool({ ...options, statementMs, statementTimeoutMs }, log)
    super(pool)
    this.#pool = pool
  }

  /**
   * The same statements for one request: when its budget is over the caller is freed at once, what waits for a
   * connection leaves the queue, what runs is cancelled.
   */
  within(budget: Budget): Transactional {
    return new Statements(this.#pool, budget)
  }

  /** Opens a first connection. Rejects with the driver's error, which tells a wrong password from an absent server. */
  open(): Promise<void> {
    return this.#pool.open()
  }
  /** False from an outage until the next success. */
  get reachable(): boolean {
    return this.#pool.isReachable && !this.#pool.isReadOnly
  }
  /** For people. */
  get state(): 'connected' | 'lost' | 'read-only' {
    return !this.#pool.isReachable ? 'lost' : this.#pool.isReadOnly ? 'read-only' : 'connected'
  }
  get statistics(): PoolStatistics {
    return this.#pool.statistics
  }
  /** Refuses new work, and gives what runs a moment to end. */
  close(): Promise<void> {
    return this.#pool.close()
  }
}

const BEGIN = sql`BEGIN`
const COMMIT = sql`COMMIT`
const ROLLBACK = sql`ROLLBACK`
