/** The first connection to PostgreSQL, as the operator wishes it to be tried (spec 06 §8.3). */
import { setTimeout } from 'node:timers/promises'
import type { DatabaseConfig } from '../config.ts'
import { OperatorError, reasonOf, Unavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import { Patience } from '../patience.ts'
import { Database } from './database.ts'
import { sqlState } from './outage.ts'
import { placeOf } from './target.ts'

/** Causes that no retry mends: wrong credentials, no such database, role or setting. */
const FINAL_CLASSES = new Set(['28', '3D', '42'])

/**
 * Connects, trying again as the operator wishes: `maxAttempts` failures in a row are final, 0 and 1 mean that the first
 * is; without end, `patience` tells. `statementMs`: for one statement without a budget of its own. Rejects with an
 * `OperatorError`.
 */
export async function openPostgres(
  {
    target,
    minConnections,
    maxConnections,
    maxAttempts,
    retryPauseSeconds,
  }: Extract<DatabaseConfig, { kind: 'POSTGRESQL' }>,
  log: Log,
  { patience = new Patience(log), ...options }: { statementMs?: number; patience?: Patience } = {},
): Promise<Database> {
  const database = new Database({ target, minConnections, maxConnections, ...options }, log)
  const pauseMs = retryPauseSeconds * 1000
  try {
    if (maxAttempts === Infinity) await patience.until('database', () => database.open(), isFinal, pauseMs)
    else await openWithin(maxAttempts, pauseMs, database, log)
    return database
  } catch (error) {
    await database.close()
    throw new OperatorError(`--db: cannot use the database ${placeOf(target)}: ${reasonOf(error)}`, { cause: error })
  }
}

async function openWithin(maxAttempts: number, pauseMs: number, database: Database, log: Log): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await database.open()
    } catch (error) {
      if (attempt >= maxAttempts || isFinal(error)) throw error
      log.warning(`Database connection lost (${reasonOf(error)}), retrying in ${pauseMs / 1000} seconds`, { attempt })
      await setTimeout(pauseMs)
    }
  }
}

function isFinal(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.every(isFinal)
  if (error instanceof Unavailable) return isFinal(error.cause)
  return error instanceof OperatorError || FINAL_CLASSES.has(sqlState(error).slice(0, 2))
}
