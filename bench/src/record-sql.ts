/**
 * Loaded into a server process with `--import …/record-sql.ts?to=FILE`: appends every statement that the server sends to a
 * file, one JSON object a line, so that `pgbench` can run the very same ones.
 */
import { appendFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { WireClient } from '@parsec/shared/postgres/wire'

/** `waits`: all statements before it on the same connection were answered, so it starts a round trip. */
export type RecordedStatement = { connection: number; waits: boolean; text: string; values: (string | null)[] }

type Query = { text: string; values?: unknown[] }

const file = new URL(import.meta.url).searchParams.get('to')
const { prepareValue } = createRequire(import.meta.url)('pg/lib/utils') as { prepareValue(value: unknown): unknown }

/** A parameter in text form, as PostgreSQL reads it. */
function textOf(value: unknown): string | null {
  const prepared = prepareValue(value)
  if (prepared === null || prepared === undefined) return null
  return Buffer.isBuffer(prepared) ? `\\x${prepared.toString('hex')}` : String(prepared)
}

if (file !== null) {
  const connections = new Map<unknown, { number: number; unanswered: number }>()
  const original = WireClient.prototype.query as (this: unknown, ...args: unknown[]) => unknown
  WireClient.prototype.query = function (this: unknown, ...args: unknown[]) {
    const query: Query =
      typeof args[0] === 'string' ? { text: args[0], values: args[1] as unknown[] } : (args[0] as Query)
    const connection = connections.get(this) ?? { number: connections.size, unanswered: 0 }
    connections.set(this, connection)
    const statement: RecordedStatement = {
      connection: connection.number,
      waits: connection.unanswered === 0,
      text: query.text,
      values: Array.isArray(query.values) ? query.values.map(textOf) : [],
    }
    appendFileSync(file, `${JSON.stringify(statement)}\n`)
    const result = original.apply(this, args)
    const answered = () => {
      connection.unanswered--
    }
    if (result instanceof Promise) {
      connection.unanswered++
      result.then(answered, answered)
    }
    return result
  } as typeof WireClient.prototype.query
}
