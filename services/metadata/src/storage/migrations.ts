/**
 * The schema's history: numbered SQL files, each applied once, in order, in a transaction that also records it. The folder
 * is the list. Two runs at once take turns on an advisory lock. A step that has to wait for somebody else's lock gives up
 * soon and tries again, because all readers of a table queue behind one that waits to change it.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import type { DatabaseConfig } from '@parsec/shared/config'
import {
  MIGRATION_LOCK_MS,
  MIGRATION_PAUSE_MS,
  MIGRATION_STATEMENT_MS,
  MIGRATION_TURN_MS,
} from '@parsec/shared/deadlines'
import { OperatorError } from '@parsec/shared/errors'
import type { Log } from '@parsec/shared/log'
import type { Database } from '@parsec/shared/postgres/database'
import { openPostgres } from '@parsec/shared/postgres/open'
import { sqlState } from '@parsec/shared/postgres/outage'
import { sql } from '@parsec/shared/postgres/sql'
import { readHistory, type Step } from './schema-history.ts'

const FOLDER = new URL('../../migrations/', import.meta.url)
/** Any constant that no other software uses on the same database. */
const TURN_LOCK = 7_277_300_001
/** Times that a step asks for the locks that it needs. */
const LOCK_ATTEMPTS = 15
const LOCK_NOT_AVAILABLE = '55P03'

export type MigrationReport = { entries: { file: string; state: 'already' | 'applied' | 'failed'; message?: string }[] }

type Migration = Step & { file: string; text: string }

function readMigrations(): Migration[] {
  return readdirSync(FOLDER)
    .filter(file => /^\d{4}_\w+\.sql$/.test(file))
    .sort()
    .map(file => {
      const text = readFileSync(new URL(file, FOLDER), 'utf8')
      const checksum = createHash('sha256').update(text).digest('hex')
      return { number: Number(file.slice(0, 4)), name: file.slice(0, -4), checksum, file, text }
    })
}

/** Tells one list of migrations from another, in whichever file they differ. `tools/setup.mjs` computes the same. */
export const schemaDigest = (): string =>
  readMigrations()
    .reduce((hash, { text }) => hash.update(text), createHash('sha256'))
    .digest('hex')

/**
 * Applies what is missing to the operator's database, or with `dryRun` only reports it. Stops at the first failure. Throws
 * an `OperatorError` when the database is not one of this program, or was made by another build of it.
 */
export async function migrate(
  config: Extract<DatabaseConfig, { kind: 'POSTGRESQL' }>,
  { dryRun, log }: { dryRun: boolean; log: Log },
): Promise<MigrationReport> {
  const database = await openPostgres(config, log, { statementMs: MIGRATION_STATEMENT_MS })
  try {
    return await applyMigrations(database, log, { dryRun })
  } finally {
    await database.close()
  }
}

export async function applyMigrations(database: Database, log: Log, { dryRun = false } = {}): Promise<MigrationReport> {
  const entries: MigrationReport['entries'] = []
  const migrations = readMigrations()
  const { applied } = await readHistory(database, migrations)
  if (applied.size === 0) await requireUtf8(database)
  for (const migration of migrations) {
    const { file, number } = migration
    if (applied.has(number)) entries.push({ file, state: 'already' })
    else if (dryRun) entries.push({ file, state: 'applied' })
    else {
      try {
        entries.push({ file, state: (await apply(database, migration, migrations, log)) ? 'applied' : 'already' })
      } catch (error) {
        entries.push({ file, state: 'failed', message: messageOf(error) })
        break
      }
    }
  }
  return { entries }
}

/** Names have letters of all alphabets, and are cut and compared by their letters. */
async function requireUtf8(database: Database): Promise<void> {
  const { encoding } = (await database.one<{ encoding: string }>(
    sql`SELECT current_setting('server_encoding') AS encoding`,
  ))!
  if (encoding !== 'UTF8')
    throw new OperatorError(
      `the database has the encoding ${encoding}: create it with UTF8 (createdb --template template0 --encoding UTF8)`,
    )
}

/** False when another run has applied it meanwhile. */
async function apply(database: Database, migration: Migration, all: readonly Step[], log: Log): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await applyOnce(database, migration, all)
    } catch (error) {
      if (!isLocked(error) || attempt === LOCK_ATTEMPTS) throw error
      log.warning('A migration waits for a lock that somebody else holds', { migration: migration.file, attempt })
      await pause(MIGRATION_PAUSE_MS)
    }
  }
}

function applyOnce(
  database: Database,
  { number, name, text, checksum }: Migration,
  all: readonly Step[],
): Promise<boolean> {
  return database.transaction(async tx => {
    await tx.run(sql`SELECT set_config('lock_timeout', ${String(MIGRATION_TURN_MS)}, TRUE)`)
    await tx.run(sql`SELECT pg_advisory_xact_lock(${TURN_LOCK})`)
    if ((await readHistory(tx, all)).applied.has(number)) return false
    await tx.run(sql`SELECT set_config('lock_timeout', ${String(MIGRATION_LOCK_MS)}, TRUE)`)
    await tx.run({ name: '', text, values: [] })
    await tx.run(
      sql`INSERT INTO migration (_id, name, applied, checksum) VALUES (${number}, ${name}, now(), ${checksum})`,
    )
    return true
  })
}

const isLocked = (error: unknown): boolean => sqlState((error as Error).cause) === LOCK_NOT_AVAILABLE

function messageOf(error: unknown): string {
  if (isLocked(error))
    return 'other sessions hold locks on tables that it changes, or another run of `parsec backend migrate` is at work: end them (pg_stat_activity and pg_locks tell which), then run it again'
  return error instanceof Error ? error.message : String(error)
}

/**
 * Refuses to work on a schema that lacks something of this release, or differs from it. One with more is fine: while a
 * newer release is rolled out it has migrated already, and its migrations leave what this one needs.
 */
export async function requireMigrated(database: Database): Promise<void> {
  const migrations = readMigrations()
  const { applied } = await readHistory(database, migrations)
  const missing = migrations.find(({ number }) => !applied.has(number))
  if (missing)
    throw new OperatorError(
      `the database schema lacks ${missing.file} of this release: run \`parsec backend migrate\` first`,
    )
}
