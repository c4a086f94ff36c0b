/** What a failure of PostgreSQL means: for the caller, and for the connection that it came from. */
import { reasonOf, Unavailable } from '../errors.ts'

/**
 * SQLSTATE classes of a server that is away, overloaded or in the way of others: connection, rolled back (deadlock),
 * resources, object in use (a lock not granted in time), operator intervention, system error.
 */
const OUTAGE_CLASSES = new Set(['08', '40', '53', '55', '57', '58'])
const READ_ONLY = '25006'
/** A transaction that was idle for too long; and what follows an earlier failure. */
const IDLE_IN_TRANSACTION = '25P03'

/** Classes of answers about data, after which the connection is as good as before. */
const HARMLESS_CLASSES = new Set(['22', '23', '40', '53', '55'])
const QUERY_CANCELED = '57014'

/** Of what the server said; empty for what it did not. */
export function sqlState(error: unknown): string {
  const code = error instanceof Error && (error as { code?: unknown }).code
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : ''
}

/** Whether the database, not the statement, is the trouble. */
export function isOutage(error: unknown): boolean {
  const code = sqlState(error)
  return OUTAGE_CLASSES.has(code.slice(0, 2)) || code === READ_ONLY || code === IDLE_IN_TRANSACTION
}
/** Whether the server takes no writes: a standby, as it is found after a failover. */
export const isReadOnly = (error: unknown): boolean => sqlState(error) === READ_ONLY
/** Whether a statement is refused only because one before it in its transaction has failed. */
export const isAftermath = (error: unknown): boolean => sqlState(error) === '25P02'
/** Whether the connection can serve others after this. */
export function isHarmless(error: unknown): boolean {
  const code = sqlState(error)
  return HARMLESS_CLASSES.has(code.slice(0, 2)) || code === QUERY_CANCELED || isAftermath(error)
}

export const unavailable = (cause: unknown): Unavailable =>
  cause instanceof Unavailable ? cause : new Unavailable(`database: ${reasonOf(cause)}`, { cause })
