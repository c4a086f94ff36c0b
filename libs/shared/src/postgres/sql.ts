/**
 * SQL as text: statements with their parameters, and pieces that several statements share. Each statement is prepared
 * once per connection, under a name of its own.
 */

/** A statement with its parameters. Without name and parameters it may be several, as a migration file has them. */
export type Sql = { readonly name: string; readonly text: string; readonly values: unknown[] }

/** A constant piece of SQL, for columns and joins that have one home but many users. */
export class Fragment {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}
/** ``fragment`realm.archiving, realm.deletion_date` ``: other fragments may stand in it, parameters not. */
export function fragment(strings: TemplateStringsArray, ...parts: Fragment[]): Fragment {
  return new Fragment(strings.reduce((text, string, i) => text + parts[i - 1]!.text + string))
}

type Statement = { readonly name: string; readonly text: string }
const statements = new WeakMap<TemplateStringsArray, Statement>()
const statementNames = (function* () {
  for (let n = 1; ; n++) yield `s${n}`
})()

/**
 * ``sql`SELECT … WHERE x = ${x}` ``: every interpolation is a parameter, so nothing is ever escaped; only a `Fragment`
 * becomes part of the text. A place that once held a fragment must always hold the same one.
 */
export function sql(strings: TemplateStringsArray, ...values: unknown[]): Sql {
  let statement = statements.get(strings)
  if (!statement) {
    statement = { name: statementNames.next().value, text: textOf(strings, values) }
    statements.set(strings, statement)
  }
  return { ...statement, values: values.some(isFragment) ? values.filter(value => !isFragment(value)) : values }
}

const isFragment = (value: unknown): value is Fragment => value instanceof Fragment

function textOf(strings: TemplateStringsArray, values: readonly unknown[]): string {
  let parameters = 0
  return strings.reduce((text, string, i) => {
    const value = values[i - 1]
    return `${text}${isFragment(value) ? value.text : `$${++parameters}`}${string}`
  })
}

/** What can run statements: the database, where each commits by itself, or one transaction. */
export type Queryable = {
  /** All rows. */
  all<Row extends object>(statement: Sql): Promise<Row[]>
  /** The first row. */
  one<Row extends object>(statement: Sql): Promise<Row | undefined>
  /** The number of rows that were written. */
  run(statement: Sql): Promise<number>
}
