/**
 * The database of this process: the operator's PostgreSQL, or for `MOCKED` an embedded PGlite that lives in a worker
 * thread and dies with it. Both are reached through the same `pg` pool, so there is one SQL code path.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { DatabaseConfig } from '@parsec/shared/config'
import type { Log } from '@parsec/shared/log'
import { Database, openPostgres } from '@parsec/shared/postgres'
import { applyMigrations } from './migrations.ts'

export type OpenDatabase = { database: Database; close(): Promise<void> }

export async function openDatabase(config: DatabaseConfig, log: Log): Promise<OpenDatabase> {
  if (config.kind === 'MOCKED') return openMocked(log)
  const database = await openPostgres(config, log)
  return { database, close: () => database.close() }
}

const MOCKED_CONNECTIONS = 8

async function openMocked(log: Log): Promise<OpenDatabase> {
  const folder = mkdtempSync(join(tmpdir(), 'parsec-mocked-'))
  const worker = new Worker(
    new URL(import.meta.url.endsWith('.ts') ? './pglite-worker.ts' : './pglite-worker.js', import.meta.url),
    {
      workerData: { path: join(folder, '.s.PGSQL.5432'), maxConnections: MOCKED_CONNECTIONS + 1 },
    },
  )
  const discard = async () => {
    await worker.terminate()
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await new Promise<void>((resolve, reject) => {
      worker.once('message', () => resolve())
      worker.once('error', reject)
    })
    const database = new Database(
      {
        connection: { host: folder, port: 5432, user: 'postgres', database: 'postgres' },
        minConnections: 0,
        maxConnections: MOCKED_CONNECTIONS,
        ownBackends: false,
      },
      log,
    )
    const report = await applyMigrations(database)
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
