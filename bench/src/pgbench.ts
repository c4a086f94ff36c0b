/** The ceiling of a command: `pgbench` with one prepared statement by key for each, as many clients. */
import { execFile } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { query } from './backing.ts'

/** Debian keeps it beside the server when it is not in the path. */
const DEBIAN_PGBENCH = '/usr/lib/postgresql/15/bin/pgbench'
const ROWS = 1000

/** Files for `pgbench`. */
export type Scripts = { readonly vlob_read: string; readonly vlob_update: string }
export type PgbenchResult = { perSecond: number; averageMs: number; transactions: number }

/** Writes the scripts, and makes what they work on. */
export async function createScripts(databaseUrl: string, folder: string, blobBytes: number): Promise<Scripts> {
  await query(databaseUrl, 'CREATE TABLE ceiling_row (id bigserial PRIMARY KEY, blob bytea NOT NULL)')
  await query(
    databaseUrl,
    `INSERT INTO ceiling_row (blob) SELECT decode(repeat('5a', $1), 'hex') FROM generate_series(1, ${ROWS})`,
    [blobBytes],
  )
  const script = (name: string, text: string): string => {
    const file = join(folder, `${name}.sql`)
    writeFileSync(file, `${text}\n`)
    return file
  }
  return {
    vlob_read: script('vlob_read', `\\set id random(1, ${ROWS})\nSELECT blob FROM ceiling_row WHERE id = :id;`),
    vlob_update: script(
      'vlob_update',
      `INSERT INTO ceiling_row (blob) VALUES (decode('${'5a'.repeat(blobBytes)}', 'hex'));`,
    ),
  }
}

/** Runs a script for whole seconds. */
export async function runPgbench(
  databaseUrl: string,
  file: string,
  clients: number,
  seconds: number,
): Promise<PgbenchResult> {
  const command = existsSync(DEBIAN_PGBENCH) ? DEBIAN_PGBENCH : 'pgbench'
  const { stdout, stderr } = await promisify(execFile)(command, [
    '--no-vacuum',
    '--protocol=prepared',
    `--client=${clients}`,
    `--jobs=${Math.min(2, clients)}`,
    `--time=${Math.max(1, Math.round(seconds))}`,
    `--file=${file}`,
    databaseUrl,
  ])
  const figure = (pattern: RegExp): number => {
    const text = pattern.exec(stdout)?.[1]
    if (text === undefined) throw new Error(`pgbench says something else:\n${stdout}${stderr}`)
    return Number(text)
  }
  const transactions = figure(/transactions actually processed: (\d+)/)
  return { perSecond: figure(/tps = ([\d.]+)/), averageMs: figure(/latency average = ([\d.]+)/), transactions }
}
