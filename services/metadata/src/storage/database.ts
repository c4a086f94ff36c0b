/**
 * The database of this process: the operator's PostgreSQL, or for `MOCKED` an embedded PGlite that lives in a worker
 * thread and dies with it. Both are reached through the same `pg` pool, so there is one SQL code path.
 */
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { DatabaseConfig } from '@parsec/shared/config'
import type { Log } from '@parsec/shared/log'
import type { Patience } from '@parsec/shared/patience'
import type { Database } from '@parsec/shared/postgres/database'
import { openPostgres } from '@parsec/shared/postgres/open'
import { sql } from '@parsec/shared/postgres/sql'
import { openEmbedded } from './embedded.ts'
import { copyTemplate } from './pglite-template.ts'
import { openTrialFolder } from './trial-folder.ts'

export type OpenDatabase = { database: Database; close(): Promise<void> }

export async function openDatabase(config: DatabaseConfig, log: Log, patience?: Patience): Promise<OpenDatabase> {
  if (config.kind === 'MOCKED') return openMocked(log)
  const database = await openPostgres(config, log, { ...(patience && { patience }) })
  return { database, close: () => database.close() }
}

async function openMocked(log: Log): Promise<OpenDatabase> {
  const trial = await openTrialFolder()
  const folder = trial.path
  const data = join(folder, 'data')
  copyTemplate(data)
  const worker = new Worker(new URL(import.meta.url.replace(/[^/]+(\.[tj]s)$/, 'pglite-worker$1')), {
    workerData: { folder, data },
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
    const database = await openEmbedded(folder, log)
    // Trials whose data came from the same template are not the same deployment.
    await database.run(sql`UPDATE deployment SET database_id = gen_random_uuid()`)
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
