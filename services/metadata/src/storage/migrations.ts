/**
 * The schema's history: numbered SQL files, each applied once, in order, in a transaction that also records it.
 * The folder is the list. Two runs at once take turns on an advisory lock.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import type { DatabaseConfig } from '@parsec/shared/config'
import { OperatorError } from '@parsec/shared/errors'
import type { Log } from '@parsec/shared/log'
import type { Database } from '@parsec/shared/postgres/database'
import { openPostgres } from '@parsec/shared/postgres/open'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'

const FOLDER = new URL('../../migrations/', import.meta.url)
/** Any constant that no other software uses on the same database. */
const MIGRATION_LOCK = 7_277_300_001

export type MigrationReport = { entries: { file: string; state: 'already' | 'applied' | 'failed'; message?: string }[] }

type Migration = { number: number; file: string; text: string; checksum: string }

function readMigrations(): Migration[] {
  return readdirSync(FOLDER)
    .filter(file => /^\d{4}_\w+\.sql$/.test(file))
    .sort()
    .map(file => {
      const text = readFileSync(new URL(file, FOLDER), 'utf8')
      return { number: Number(file.slice(0, 4)), file, text, checksum: createHash('sha256').update(text).digest('hex') }
    })
}

/** Applies what is missing to the operator's database, or with `dryRun` only reports it. Stops at the first failure. */
export async function migrate(
  config: Extract<DatabaseConfig, { kind: 'POSTGRESQL' }>,
  options: { dryRun: boolean; log: Log },
): Promise<MigrationReport> {
  const database = await openPostgres(config, options.log)
  try {
    return await applyMigrations(database, options)
  } finally {
    await database.close()
  }
}

export async function applyMigrations(database: Database, { dryRun = false } = {}): Promise<MigrationReport> {
  const entries: MigrationReport['entries'] = []
  const level = await appliedLevel(database)
  for (const migration of readMigrations()) {
    const { file, number } = migration
    if (number <= level) entries.push({ file, state: 'already' })
    else if (dryRun) entries.push({ file, state: 'applied' })
    else {
      try {
        entries.push({ file, state: (await apply(database, migration)) ? 'applied' : 'already' })
      } catch (error) {
        entries.push({ file, state: 'failed', message: error instanceof Error ? error.message : String(error) })
        break
      }
    }
  }
  return { entries }
}

/** False when another run has applied it meanwhile. */
function apply(database: Database, { number, file, text, checksum }: Migration): Promise<boolean> {
  return database.transaction(async tx => {
    await tx.run(sql`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`)
    if ((await appliedLevel(tx)) >= number) return false
    await tx.run({ name: '', text, values: [] })
    await tx.run(
      sql`INSERT INTO migration (_id, name, applied, checksum) VALUES (${number}, ${file.slice(0, -4)}, now(), ${checksum})`,
    )
    return true
  })
}

/** The newest applied number; 1 for a schema from before the record was kept, 0 for none. */
async function appliedLevel(database: Queryable): Promise<number> {
  // A look into the catalogue: names resolved through the cache may miss what another run has just committed.
  const tables = await database.one<{ has_record: boolean; has_schema: boolean }>(sql`
    SELECT coalesce(bool_or(relname = 'migration'), FALSE) AS has_record,
      coalesce(bool_or(relname = 'organization'), FALSE) AS has_schema
    FROM pg_catalog.pg_class WHERE relname IN ('migration', 'organization') AND pg_catalog.pg_table_is_visible(oid)`)
  if (!tables?.has_record) return tables?.has_schema ? 1 : 0
  const newest = await database.one<{ level: number }>(sql`SELECT coalesce(max(_id), 0)::int AS level FROM migration`)
  return newest?.level ?? 0
}

/** Refuses to work on a schema that is older than this release, or newer. */
export async function requireMigrated(database: Database): Promise<void> {
  const level = await appliedLevel(database)
  const wanted = readMigrations().at(-1)!.number
  if (level < wanted)
    throw new OperatorError(
      `the database schema is at level ${level}, this release needs ${wanted}: run \`parsec backend migrate\` first`,
    )
  if (level > wanted)
    throw new OperatorError(
      `the database schema is at level ${level}, this release knows ${wanted}: install the release that migrated it`,
    )
}
