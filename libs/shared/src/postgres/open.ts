/** The first connection to PostgreSQL, as the operator wishes it to be tried (spec 06 §8.3). */
import { setTimeout } from 'node:timers/promises'
import type { DatabaseConfig } from '../config.ts'
import { OperatorError, Unavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import { Database } from './database.ts'
import { reasonOf, sqlState } from './outage.ts'
import { placeOf } from './target.ts'

/** Causes that no retry mends: wrong credentials, no such database, role or setting. */
const FINAL_CLASSES = new Set(['28', '3D', '42'])

/**
 * Connects, trying again as the operator wishes: `maxAttempts` failures in a row are final, 0 and 1 mean that the first
 * is. `statementMs`: for one statement without a budget of its own. Rejects with an `OperatorError`.
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
  options: { statementMs?: number } = {},
): Promise<Database> {
  const database = new Database({ target, minConnections, maxConnections, ...options }, log)
  for (let attempt = 1; ; attempt++) {
    try {
      await database.open()
      return database
    } catch (error) {
      const cause = reasonOf(error)
      if (attempt >= maxAttempts || isFinal(error)) {
        await database.close()
        throw new OperatorError(`--db: cannot use the database ${placeOf(target)}: ${cause}`, { cause: error })
      }
      log.warning(`Database connection lost (${cause}), retrying in ${retryPauseSeconds} seconds`)
      await setTimeout(retryPauseSeconds * 1000)
    }
  }
}

function isFinal(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.every(isFinal)
  if (error instanceof Unavailable) return isFinal(error.cause)
  return error instanceof OperatorError || FINAL_CLASSES.has(sqlState(error).slice(0, 2))
}
