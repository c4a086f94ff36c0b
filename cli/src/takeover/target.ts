/** The database of this server as an import sees it: what is there already, keys for what comes, what was taken over. */
import { OperatorError } from '@parsec/shared/errors'
import type { BulkSession } from '@parsec/shared/postgres/bulk'
import type { Measures } from './measure.ts'

/** Keys of a source are 32-bit integers. */
const KEY_RANGE = 2 ** 31
const IMPORT_LOCK = 7_277_300_003
const TABLES_WITH_KEYS = [
  'organization',
  'human',
  'user_',
  'device',
  'realm',
  'realm_role',
  'realm_archiving',
  'vlob',
  'block',
  'invitation',
  'pki_enrollment',
  'sequester_service',
  'shamir_recovery',
]

/**
 * A base to which keys of a source are added. The sequences are moved behind the range first, so keys of other
 * transactions are smaller or greater than all of it, and those of what is written later are greater.
 */
export async function reserveKeys(session: BulkSession): Promise<number> {
  await session.run(`SELECT pg_advisory_lock(${IMPORT_LOCK})`)
  try {
    const sequences = TABLES_WITH_KEYS.map(table => `pg_get_serial_sequence('${table}', '_id')`)
    const [row] = await session.rows<{ newest: number }>(
      `SELECT max(nextval(sequence::regclass))::bigint AS newest FROM unnest(ARRAY[${sequences}]) sequence`,
    )
    // One range of distance: whoever takes keys at this moment does not get that far.
    const base = (Math.floor(row!.newest / KEY_RANGE) + 2) * KEY_RANGE
    if (base + KEY_RANGE > Number.MAX_SAFE_INTEGER) throw new OperatorError('--db: there are no keys left')
    await session.rows(
      `SELECT setval(sequence::regclass, ${base + KEY_RANGE}) FROM unnest(ARRAY[${sequences}]) sequence`,
    )
    return base
  } finally {
    await session.run(`SELECT pg_advisory_unlock(${IMPORT_LOCK})`)
  }
}

export type Record = { readonly isComplete: boolean; readonly source: string; readonly blocks_up_to: string | null }
export type Present = {
  readonly organizations: ReadonlySet<string>
  readonly records: ReadonlyMap<string, Record>
}

/** Which of these organizations are there, and which of them an import brought. */
export async function findPresent(session: BulkSession, ids: readonly string[]): Promise<Present> {
  const organizations = await session.rows<{ organization_id: string }>(
    'SELECT organization_id FROM organization WHERE organization_id = ANY($1)',
    [ids],
  )
  const records = await session.rows<Record & { organization_id: string }>(
    `SELECT organization_id, source, blocks_up_to::text, completed_on IS NOT NULL AS "isComplete"
     FROM import_record WHERE organization_id = ANY($1)`,
    [ids],
  )
  return {
    organizations: new Set(organizations.map(row => row.organization_id)),
    records: new Map(records.map(row => [row.organization_id, row])),
  }
}

/** Marks the organization as complete with the end of the transaction; false when another import has done so. */
export async function recordImport(
  session: BulkSession,
  { organization_id, source, measures }: { organization_id: string; source: string; measures: Measures },
): Promise<boolean> {
  const written = await session.run(
    `INSERT INTO import_record (organization_id, source, completed_on, measured) VALUES ($1, $2, now(), $3)
     ON CONFLICT (organization_id) DO UPDATE SET source = excluded.source, completed_on = excluded.completed_on, measured = excluded.measured
     WHERE import_record.completed_on IS NULL`,
    [organization_id, source, JSON.stringify(measures)],
  )
  return written === 1
}

/** Remembers up to which block those of an organization are in the store. */
export const recordBlocks = (
  session: BulkSession,
  { organization_id, source, block_id }: { organization_id: string; source: string; block_id: string },
): Promise<number> =>
  session.run(
    `INSERT INTO import_record (organization_id, source, blocks_up_to) VALUES ($1, $2, $3)
     ON CONFLICT (organization_id) DO UPDATE SET source = excluded.source, blocks_up_to = excluded.blocks_up_to
     WHERE import_record.completed_on IS NULL`,
    [organization_id, source, block_id],
  )
