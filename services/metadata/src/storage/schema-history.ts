/** What a database says of its schema's history, and whether that is the history of this program. */
import { OperatorError } from '@parsec/shared/errors'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import { originalOf } from './original.ts'

export type Step = { readonly number: number; readonly name: string; readonly checksum: string }
/** Numbers of the steps that were applied; those of newer releases among them. */
export type History = { readonly applied: ReadonlySet<number> }

/** Throws an `OperatorError` that says whose database it is, when it is not one of this program. */
export async function readHistory(database: Queryable, own: readonly Step[]): Promise<History> {
  const { columns, has_schema } = await tables(database)
  // A schema from before the record was kept is at level 1.
  if (columns.length === 0) return { applied: new Set(has_schema ? [1] : []) }
  if (!columns.includes('_id') || !columns.includes('name')) throw foreign()
  if (!columns.includes('checksum')) throw await originalOrForeign(database)
  const steps = await database.all<Step>(sql`SELECT _id::int AS number, name, checksum FROM migration ORDER BY _id`)
  for (const step of steps) compare(step, own)
  return { applied: new Set(steps.map(step => step.number)) }
}

/** The columns of table `migration`, none when there is no such table. */
async function tables(database: Queryable): Promise<{ columns: string[]; has_schema: boolean }> {
  // A look into the catalogue: names resolved through the cache may miss what another run has just committed.
  const found = await database.one<{ columns: string[]; has_schema: boolean }>(sql`
    SELECT coalesce(array_agg(attname::text) FILTER (WHERE relname = 'migration'), '{}') AS columns,
      coalesce(bool_or(relname = 'organization'), FALSE) AS has_schema
    FROM pg_catalog.pg_class JOIN pg_catalog.pg_attribute ON attrelid = pg_class.oid AND attnum > 0
    WHERE relname IN ('migration', 'organization') AND relkind IN ('r', 'p', 'v') AND pg_catalog.pg_table_is_visible(pg_class.oid)`)
  return found!
}

function compare({ number, name, checksum }: Step, own: readonly Step[]): void {
  const known = own.find(step => step.number === number)
  if (!known) return
  if (known.name !== name)
    throw new OperatorError(
      `migration ${number} of the database is ${name}, that of this release is ${known.name}: another build of the server made it; run that one, or use another database`,
    )
  if (known.checksum !== checksum)
    throw new OperatorError(
      `migration ${name} of the database differs from that of this release: another build of the server made it; run that one, or use another database`,
    )
}

async function originalOrForeign(database: Queryable): Promise<OperatorError> {
  const steps = await database.all<{ _id: number; name: string }>(
    sql`SELECT _id::int AS _id, name::text AS name FROM migration`,
  )
  const original = originalOf(steps)
  if (!original) return foreign()
  return new OperatorError(
    `this is the database of an original Parsec server (schema level ${original.level}), which this server does not work on: create another one, run \`parsec backend migrate\` on it, then take this one over with \`parsec backend import --from OLD --db NEW\`, which only reads it`,
  )
}
const foreign = () =>
  new OperatorError('the database has a table `migration` of some other program: use a database of its own for Parsec')
