/** How PGlite is reached and made ready: through a socket in a folder, by the same pool and migrations as any database. */
import { join } from 'node:path'
import type { Log } from '@parsec/shared/log'
import { Database } from '@parsec/shared/postgres/database'
import type { Target } from '@parsec/shared/postgres/target'
import { readDatabaseUrl } from '@parsec/shared/postgres/url'
import { applyMigrations } from './migrations.ts'

/** All connections to PGlite share one session, whose statements would get mixed up: there is only one. */
const CONNECTIONS = 1
/** What its server accepts: a cancellation comes on a connection of its own. */
export const SOCKET_CONNECTIONS = CONNECTIONS + 1

export const socketIn = (folder: string): string => join(folder, '.s.PGSQL.5432')

/** The database behind the socket in `folder`, with the schema of this release. */
export async function openEmbedded(folder: string, log: Log): Promise<Database> {
  const url = `postgresql://postgres@/postgres?host=${encodeURIComponent(folder)}&port=5432`
  const target: Target = { ...readDatabaseUrl(url), embedded: true }
  const database = new Database({ target, minConnections: 0, maxConnections: CONNECTIONS }, log)
  const { entries } = await applyMigrations(database, log)
  const failed = entries.find(({ state }) => state === 'failed')
  if (failed) throw new Error(`${failed.file}: ${failed.message}`)
  return database
}
