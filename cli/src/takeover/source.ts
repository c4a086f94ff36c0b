/** The database of the original server, as it was at one moment (spec 07 §1, §2). Nothing is ever written there. */
import { NEWEST_LEVEL, OLDEST_LEVEL, originalOf } from '@parsec/metadata/storage/original'
import { OperatorError } from '@parsec/shared/errors'
import { BulkSession } from '@parsec/shared/postgres/bulk'
import { placeOf, type Target } from '@parsec/shared/postgres/target'

const READ_ONLY = 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY'

/**
 * Joins of big tables by hash or merge: a loop over rows of which the planner expected one is quadratic. A plan's cost
 * then says nothing, so it is not compiled.
 */
const PLANNING = "SET enable_nestloop = off; SET jit = off; SET work_mem = '64MB'"

/** What of the source is read, and as it was when. */
type Moment = { readonly level: number; readonly snapshot: string }
export type SourceOrganization = { readonly key: number; readonly organization_id: string }

export class Source {
  /** Names it for people, without a secret. */
  readonly place: string
  readonly level: number
  readonly #target: Target
  readonly #silenceMs: number
  readonly #keeper: BulkSession
  readonly #snapshot: string

  private constructor(target: Target, silenceMs: number, keeper: BulkSession, { level, snapshot }: Moment) {
    this.#target = target
    this.#silenceMs = silenceMs
    this.#keeper = keeper
    this.place = placeOf(target)
    this.level = level
    this.#snapshot = snapshot
  }

  /** Throws an `OperatorError` that names the remedy when it is none that can be taken over. */
  static async open(target: Target, silenceMs: number): Promise<Source> {
    const keeper = await BulkSession.open(target, '--from', silenceMs)
    try {
      await keeper.run(PLANNING)
      await keeper.run(READ_ONLY)
      const level = await levelOf(keeper)
      const [row] = await keeper.rows<{ snapshot: string }>('SELECT pg_export_snapshot() AS snapshot')
      return new Source(target, silenceMs, keeper, { level, snapshot: row!.snapshot })
    } catch (error) {
      await keeper.close()
      throw error
    }
  }

  /** A session that sees the same moment. */
  async reader(): Promise<BulkSession> {
    const session = await BulkSession.open(this.#target, '--from', this.#silenceMs)
    try {
      await session.run(PLANNING)
      await session.run(READ_ONLY)
      await session.run(`SET TRANSACTION SNAPSHOT '${this.#snapshot}'`)
      return session
    } catch (error) {
      await session.close()
      throw error
    }
  }

  organizations(): Promise<SourceOrganization[]> {
    return this.#keeper.rows(
      'SELECT _id::bigint AS key, organization_id::text AS organization_id FROM organization ORDER BY organization_id COLLATE "C"',
    )
  }
  rows<Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> {
    return this.#keeper.rows(text, values)
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.#keeper.close()
  }
}

/** All organizations of the source when none is named; throws `OperatorError` when one that is named is not there. */
export async function chooseFrom(source: Source, organizations: readonly string[]): Promise<SourceOrganization[]> {
  const all = await source.organizations()
  if (organizations.length === 0) return all
  const unknown = organizations.filter(id => !all.some(({ organization_id }) => organization_id === id))
  if (unknown.length > 0) throw new OperatorError(`--organization: not in the source: ${unknown.join(', ')}`)
  return all.filter(({ organization_id }) => organizations.includes(organization_id))
}

async function levelOf(session: BulkSession): Promise<number> {
  const columns = await session.rows<{ name: string }>(
    "SELECT attname::text AS name FROM pg_attribute WHERE attrelid = to_regclass('migration') AND attnum > 0",
  )
  const names = columns.map(column => column.name)
  const tables = await session.rows<{ name: string | null }>(
    `SELECT to_regclass(name)::text AS name FROM unnest(ARRAY['organization', 'user_', 'device', 'realm', 'vlob_atom']) AS name`,
  )
  if (names.includes('checksum'))
    throw new OperatorError(
      '--from: this is a database of this server, not of an older one: take organizations from it with `parsec backend export`',
    )
  const isWhole = names.includes('_id') && names.includes('name') && tables.every(table => table.name !== null)
  const original = isWhole
    ? originalOf(await session.rows('SELECT _id::int4 AS _id, name::text AS name FROM migration'))
    : undefined
  if (!original) throw new OperatorError('--from: this is no database of a Parsec server of v1.14 to v2.17')
  const { level } = original
  if (level < OLDEST_LEVEL)
    throw new OperatorError(
      `--from: the schema is at level ${level}, levels ${OLDEST_LEVEL} to ${NEWEST_LEVEL} are taken: run \`parsec backend migrate\` of the old server (v1.14 or later) on it first`,
    )
  if (level > NEWEST_LEVEL)
    throw new OperatorError(
      `--from: the schema is at level ${level}, levels ${OLDEST_LEVEL} to ${NEWEST_LEVEL} are taken: it belongs to a release of the old server after v2.17`,
    )
  return level
}
