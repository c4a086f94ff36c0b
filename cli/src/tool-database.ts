/** The database of a command that runs beside the server, for as long as the command. */
import { createLog, type Log } from '@parsec/shared/log'
import type { Database } from '@parsec/shared/postgres/database'
import { openPostgres } from '@parsec/shared/postgres/open'
import { logOptions, postgresPool } from './settings.ts'
import type { DatabaseValues } from './tool-options.ts'

/** Throws `OperatorError` when the schema is not that of this release. */
export async function withDatabase<T>(
  values: DatabaseValues,
  work: (database: Database, log: Log) => Promise<T>,
): Promise<T> {
  const log = createLog(logOptions(values))
  try {
    const pool = { ...postgresPool(values, process.env), maxAttempts: 1, retryPauseSeconds: 0 }
    const database = await openPostgres(pool, log)
    try {
      const { requireMigrated } = await import('@parsec/metadata/storage/migrations')
      await requireMigrated(database)
      return await work(database, log)
    } finally {
      await database.close()
    }
  } finally {
    await log.close()
  }
}
