/**
 * The ceiling of a command: `pgbench` running the SQL statements that the server ran for it, in the same round trips.
 *
 * The script is derived from recordings of two runs of the command per client, so it cannot drift from the server. Of
 * each parameter the recordings tell whether it stays, differs between clients, or grows by one with every run.
 */
import { execFile } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { promisify } from 'node:util'
import pg from 'pg'
import { query } from './backing.ts'
import type { RecordedStatement } from './record-sql.ts'

/** Debian keeps it beside the server when it is not in the path. */
const DEBIAN_PGBENCH = '/usr/lib/postgresql/15/bin/pgbench'
const WHOLE_NUMBER = /^\d+$/

/** The statements of the same command, run twice by one client. */
export type Recording = { first: readonly RecordedStatement[]; second: readonly RecordedStatement[] }
export type Script = { file: string; writes: boolean }
export type PgbenchResult = { perSecond: number; averageMs: number; transactions: number }

/** Writes a script for as many clients as there are recordings, and stores what differs between them in the database. */
export async function createScript(
  databaseUrl: string,
  recordings: readonly Recording[],
  name: string,
  file: string,
): Promise<Script> {
  const sample = recordings[0]!.first
  for (const { first, second } of recordings) {
    for (const run of [first, second]) {
      if (run.length !== sample.length || run.some((statement, i) => statement.text !== sample[i]!.text))
        throw new Error(`the server ran other statements for ${name} the second time`)
    }
  }
  const columns: string[] = []
  const rows: (string | null)[][] = recordings.map(() => [])
  const counters: string[] = []
  const statements = sample.map((statement, s) => {
    const parameters = statement.values.map((value, v) => {
      const variable = `p${s}_${v}`
      if (value === null) return null
      columns.push(variable)
      for (const [client, { second }] of recordings.entries()) rows[client]!.push(second[s]!.values[v]!)
      if (recordings.every(({ first, second }) => isNext(first[s]!.values[v], second[s]!.values[v])))
        counters.push(variable)
      return variable
    })
    return { waits: statement.waits, text: inline(statement.text, parameters) }
  })
  await fillTable(databaseUrl, name, columns, rows)

  const lines = [
    '\\if :ready = 0',
    `SELECT ${columns.join(', ')}, '' AS empty FROM ceiling_${name} WHERE client = :client_id \\gset`,
    '\\set ready 1',
    '\\endif',
    ...counters.map(variable => `\\set ${variable} :${variable} + 1`),
    ...inRoundTrips(statements),
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  return { file, writes: statements.length > 1 }
}

const isNext = (first: string | null | undefined, second: string | null | undefined): boolean =>
  first != null &&
  second != null &&
  WHOLE_NUMBER.test(first) &&
  WHOLE_NUMBER.test(second) &&
  Number(second) === Number(first) + 1

/** `$n` replaced by pgbench variables; a null, which variables cannot be, by an expression that stays a parameter. */
function inline(text: string, parameters: readonly (string | null)[]): string {
  return text
    .replace(/\$(\d+)(::)?/g, (_, n: string, cast: string | undefined) => {
      const variable = parameters[Number(n) - 1]
      if (variable) return `:${variable}${cast ?? ''}`
      return cast === undefined ? 'NULL' : "nullif(:empty, '')::"
    })
    .replace(/\s+/g, ' ')
    .trim()
}

/** Statements that the server sent without waiting become a pipeline. */
function inRoundTrips(statements: readonly { waits: boolean; text: string }[]): string[] {
  const trips: string[][] = []
  for (const { waits, text } of statements) {
    if (waits || trips.length === 0) trips.push([])
    trips.at(-1)!.push(`${text};`)
  }
  return trips.flatMap(trip => (trip.length === 1 ? trip : ['\\startpipeline', ...trip, '\\endpipeline']))
}

async function fillTable(
  databaseUrl: string,
  name: string,
  columns: readonly string[],
  rows: readonly (string | null)[][],
): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    await client.query(
      `CREATE TABLE ceiling_${name} (client int PRIMARY KEY, ${columns.map(c => `${c} text`).join(', ')})`,
    )
    const places = columns.map((_, i) => `$${i + 2}`).join(', ')
    for (const [i, row] of rows.entries())
      await client.query(`INSERT INTO ceiling_${name} VALUES ($1, ${places})`, [i, ...row])
  } finally {
    await client.end()
  }
}

/** Runs a script for whole seconds. Throws when a statement failed, or did not write what the server's did. */
export async function runPgbench(
  databaseUrl: string,
  script: Script,
  clients: number,
  seconds: number,
): Promise<PgbenchResult> {
  const command = existsSync(DEBIAN_PGBENCH) ? DEBIAN_PGBENCH : 'pgbench'
  const versions = async () => Number((await query(databaseUrl, 'SELECT count(*) AS n FROM vlob_atom'))[0]!.n)
  const before = script.writes ? await versions() : 0
  const { stdout, stderr } = await promisify(execFile)(command, [
    '--no-vacuum',
    '--protocol=prepared',
    `--client=${clients}`,
    `--jobs=${Math.min(2, clients)}`,
    `--time=${Math.max(1, Math.round(seconds))}`,
    '--define=ready=0',
    `--file=${script.file}`,
    databaseUrl,
  ])
  const figure = (pattern: RegExp): number => {
    const text = pattern.exec(stdout)?.[1]
    if (text === undefined) throw new Error(`pgbench says something else:\n${stdout}${stderr}`)
    return Number(text)
  }
  const transactions = figure(/transactions actually processed: (\d+)/)
  if (script.writes && (await versions()) - before !== transactions)
    throw new Error(`pgbench did not write one version per transaction:\n${stdout}${stderr}`)
  return { perSecond: figure(/tps = ([\d.]+)/), averageMs: figure(/latency average = ([\d.]+)/), transactions }
}
