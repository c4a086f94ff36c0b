/**
 * The database of this process: the operator's PostgreSQL, or for `MOCKED` an embedded PGlite that lives in a worker
 * thread and dies with it. Both are reached through the same `pg` pool, so there is one SQL code path.
 */
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { DatabaseConfig } from '@parsec/shared/config'
import type { Log } from '@parsec/shared/log'
import type { Patience } from '@parsec/shared/patience'
import { Database } from '@parsec/shared/postgres/database'
import { openPostgres } from '@parsec/shared/postgres/open'
import { readDatabaseUrl } from '@parsec/shared/postgres/url'
import { applyMigrations } from './migrations.ts'
import { copyTemplate } from './pglite-template.ts'
import { openTrialFolder } from './trial-folder.ts'

export type OpenDatabase = { database: Database; close(): Promise<void> }

export async function openDatabase(config: DatabaseConfig, log: Log, patience?: Patience): Promise<OpenDatabase> {
  if (config.kind === 'MOCKED') return openMocked(log)
  const database = await openPostgres(config, log, { ...(patience && { patience }) })
  return { database, close: () => database.close() }
}

/** All connections to PGlite share one session, whose statements would get mixed up: there is only one. */
const MOCKED_CONNECTIONS = 1
async function openMocked(log: Log): Promise<OpenDatabase> {
  const trial = await openTrialFolder()
  const folder = trial.path
  const data = join(folder, 'data')
  copyTemplate(data)
  const worker = new Worker(new URL(import.meta.url.replace(/[^/]+(\.[tj]s)$/, 'pglite-worker$1')), {
    workerData: { folder: data, path: join(folder, '.s.PGSQL.5432'), maxConnections: MOCKED_CONNECTIONS + 1 },
  })
  const discard = async () => {
    await worker.terminate()
    trial.remove()
  }
  try {
    await new Promise<void>((resolve, reject) => {
      worker.once('message', () => resolve())
      worker.once('error', reject)
    })
    const database = new Database(
      {
        target: {
          ...readDatabaseUrl(`postgresql://postgres@/postgres?host=${encodeURIComponent(folder)}&port=5432`),
          embedded: true,
        },
        minConnections: 0,
        maxConnections: MOCKED_CONNECTIONS,
      },
      log,
    )
    const report = await applyMigrations(database, log)
    const failed = report.entries.find(entry => entry.state === 'failed')
    if (failed) throw new Error(`${failed.file}: ${failed.message}`)
    return {
      database,
      close: async () => {
        await database.close()
        await discard()
      },
    }
  } catch (error) {
    await discard()
    throw error
  }
}
