/** Databases that released servers of the original filled, what their devices saw of them, and the command under test (spec 07). */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { createDatabase, type TestDatabase } from '../harness/backing.ts'
import { NODE_ARGV } from '../harness/launch.ts'
import type { Answers, Keys } from './snapshot.ts'

export const RELEASES = ['1.15.2', '2.11.1', '2.17.0'] as const
export type Release = (typeof RELEASES)[number]

const file = (name: string): string => fileURLToPath(new URL(`data/${name}`, import.meta.url))
const read = (name: string): unknown => JSON.parse(gunzipSync(readFileSync(file(name))).toString())
const run = promisify(execFile)
/** The command is run so often that compiling it would take half of the time. */
const COMPILED = join(tmpdir(), 'parsec-compiled')

export const keysOf = (release: Release): Keys => read(`v${release}.keys.json.gz`) as Keys
export const expectedOf = (release: Release): Answers => read(`v${release}.expected.json.gz`) as Answers

/** The database as the released server left it. */
export async function restore(release: Release): Promise<TestDatabase> {
  const database = await createDatabase()
  await run('pg_restore', ['--no-owner', '-d', database.url, file(`v${release}.dump`)])
  await withoutMaintenance(database)
  return database
}

/** PostgreSQL itself writes nothing but statistics of its own tables, which are not counted. */
async function withoutMaintenance(database: TestDatabase): Promise<void> {
  const tables = await database.query<{ name: string }>('SELECT relid::regclass::text AS name FROM pg_stat_user_tables')
  await database.query(tables.map(({ name }) => `ALTER TABLE ${name} SET (autovacuum_enabled = false);`).join(''))
}

/** An empty database of this server, and another one that it is like. */
export async function migrated(like?: TestDatabase): Promise<TestDatabase> {
  const database = await createDatabase(like)
  if (like) return database
  const { code, output } = await parsec('migrate', `--db=${database.url}`)
  if (code !== 0) throw new Error(output)
  return database
}

/** `parsec backend …`: exit code and all output. */
export async function parsec(...argv: string[]): Promise<{ code: number; output: string }> {
  const env = { PATH: process.env['PATH'], HOME: '/nonexistent', LC_ALL: 'C.UTF-8', NODE_COMPILE_CACHE: COMPILED }
  try {
    const { stdout, stderr } = await run(process.execPath, [...NODE_ARGV, 'backend', ...argv], {
      env,
      maxBuffer: 64 * 1024 * 1024,
    })
    return { code: 0, output: stdout + stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, output: stdout + stderr }
  }
}

/** What a database has written to its tables and to temporary files so far, when nobody is connected any more. */
export async function writesOf(database: TestDatabase): Promise<object> {
  const ask = () =>
    database.query<{ others: number; rows: string; temp_files: string; temp_bytes: string; tables: object[] }>(`
      SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend')::int AS others,
        tup_inserted + tup_updated + tup_deleted - own.rows AS rows, temp_files, temp_bytes,
        (SELECT json_agg(json_build_array(relname, n_tup_ins, n_tup_upd, n_tup_del) ORDER BY relid) FROM pg_stat_user_tables) AS tables
      FROM pg_stat_database, (
        SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) AS rows FROM pg_stat_sys_tables, pg_class
        WHERE pg_class.oid = 'pg_statistic'::regclass AND relid IN (pg_class.oid, reltoastrelid)
      ) own WHERE datname = current_database()`)
  for (;;) {
    const [{ others, ...writes } = { others: 1 }] = await ask()
    if (others === 0) return writes
  }
}

/** Everything in a database as SQL text, for "nothing was changed". */
export async function dumpOf(database: TestDatabase): Promise<string> {
  const { stdout } = await run('pg_dump', ['--no-owner', '--restrict-key=same', database.url], {
    maxBuffer: 256 * 1024 * 1024,
  })
  return stdout
}
