/** What the last release needs of the schema: its statements, and the columns that it fills. */
import type { TestDatabase } from '../../harness/backing.ts'

export type Column = { type: string; required: boolean }
export type Contract = {
  /** Newest migration of the release. */
  level: number
  columns: { [table: string]: { [column: string]: Column } }
  statements: string[]
}
export const CONTRACT = new URL('release.json', import.meta.url)

export async function columnsOf(database: TestDatabase): Promise<Contract['columns']> {
  const rows = await database.query<{ table: string; column: string } & Column>(`
    SELECT relname AS table, attname AS column, format_type(atttypid, atttypmod) AS type,
      attnotnull AND NOT atthasdef AND attidentity = '' AS required
    FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname, attname`)
  const columns: Contract['columns'] = {}
  for (const { table, column, type, required } of rows) (columns[table] ??= {})[column] = { type, required }
  return columns
}

/** What breaks the release on this schema, one line each. */
export async function breaches({ columns, statements }: Contract, database: TestDatabase): Promise<string[]> {
  const found: string[] = []
  const now = await columnsOf(database)
  for (const [table, before] of Object.entries(columns)) {
    const after = now[table]
    if (!after) found.push(`table ${table} is gone`)
    for (const [column, { type, required }] of Object.entries(after ?? {})) {
      const known = before[column]
      if (!known && required) found.push(`${table}.${column} is new and must be given`)
      if (known && required && !known.required) found.push(`${table}.${column} must now be given`)
      if (known && known.type !== type) found.push(`${table}.${column} was ${known.type}, is ${type}`)
    }
    for (const column of Object.keys(before)) if (after && !after[column]) found.push(`${table}.${column} is gone`)
  }
  for (const statement of statements) {
    const failure = await database.query(`PREPARE of_the_release AS ${statement}`).then(
      () => undefined,
      (error: Error) => error,
    )
    if (failure) found.push(`${failure.message}: ${statement}`)
  }
  return found
}
