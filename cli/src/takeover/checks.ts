/** Whether the rows of an organization hold together (spec 07 §4): each query finds those that do not. */
import type { BulkSession } from '@parsec/shared/postgres/bulk'
import type { Found } from './finding.ts'
import type { Place } from './measure.ts'
import {
  atoms,
  changes,
  IS_LOST,
  invitations,
  isTooLate,
  isUseless,
  justAtoms,
  READABLE,
  realms,
  type Scope,
} from './scope.ts'

type Check = {
  kind: Found['kind']
  table: string
  why: string
  query: (place: Scope & { readonly level: number }) => string
}

/** An atom whose vlob belongs to another realm. */
const STRAY = (o: Scope) => `
  (SELECT DISTINCT ON (entry.vlob_id) entry.vlob_id, revision.realm FROM ${atoms(o)}
   ORDER BY entry.vlob_id, entry._id) home`

const DOUBLED_MESSAGE = 'several messages have one number: each gets its own, none is lost'

/** Rows of a table with instants that v2.12.0 of the original wrote. */
const tooLate = (table: string, from: (scope: Scope) => string, instant: string): Check => ({
  kind: 'kept',
  table,
  why: 'v2.12.0 wrote them 30 years too late: they are taken as of the instant that was meant',
  query: o => `SELECT count(*) || ' rows' AS row FROM ${from(o)} WHERE ${isTooLate(instant)} HAVING count(*) > 0`,
})
const own =
  (table: string, rows: (o: Scope) => string = () => table) =>
  (o: Scope): string =>
    `(SELECT * FROM ${rows(o)} ${table} WHERE organization = ${o.organization}) own`

/** Each query gives what to call the row, in a column `row`. */
const CHECKS: readonly Check[] = [
  {
    kind: 'left_out',
    table: 'vlob_atom',
    why: 'its vlob belongs to another realm, where it was first',
    query:
      o => `SELECT replace(entry.vlob_id::text, '-', '') || ' version ' || entry.version || ' in realm ' || replace(realm.realm_id::text, '-', '') || ' (_id ' || entry._id || ')' AS row
      FROM ${realms(o)} JOIN (${atoms(o)}) ON revision.realm = realm._id
      JOIN ${STRAY(o)} ON home.vlob_id = entry.vlob_id AND home.realm <> revision.realm
      ORDER BY entry._id`,
  },
  {
    kind: 'left_out',
    table: 'realm_change',
    why: 'its vlob belongs to another realm, where it was first',
    query: o => `SELECT replace(realm.realm_id::text, '-', '') || ' change ' || change.index AS row
      FROM ${realms(o)} JOIN ${changes(o)} ON change.realm = realm._id JOIN ${justAtoms(o)} ON entry._id = change.vlob_atom
      JOIN ${STRAY(o)} ON home.vlob_id = entry.vlob_id AND home.realm <> change.realm
      ORDER BY entry._id`,
  },
  {
    kind: 'left_out',
    table: 'sequester_blob',
    why: 'its version is not in the change log or was written again, or its vlob belongs to another realm',
    query: o => `SELECT 'version (_id ' || vlob_atom || ') for service (_id ' || service || ')' AS row FROM (
        SELECT blob.vlob_atom, blob.service, change.index IS NOT NULL AND home.realm IS NOT DISTINCT FROM change.realm AS is_at_home,
          row_number() OVER (
            PARTITION BY blob.service, entry.vlob_id, entry.version, change.index IS NULL, home.realm IS DISTINCT FROM change.realm
            ORDER BY change.index DESC, blob._id DESC
          ) AS place
        FROM sequester_service service JOIN sequester_service_vlob_atom blob ON blob.service = service._id
        LEFT JOIN (SELECT realm, vlob_atom, max(index) AS index FROM ${changes(o)} GROUP BY 1, 2) change
          ON change.vlob_atom = blob.vlob_atom
        LEFT JOIN ${justAtoms(o)} ON entry._id = blob.vlob_atom
        LEFT JOIN ${STRAY(o)} ON home.vlob_id = entry.vlob_id
        WHERE service.organization = ${o.organization}
      ) blob WHERE NOT is_at_home OR place > 1`,
  },
  {
    kind: 'kept',
    table: 'realm_change',
    why: 'the change log has gaps: its numbers are kept, the newest is the checkpoint',
    query:
      o => `SELECT replace(realm.realm_id::text, '-', '') || ': ' || count(*) || ' changes, the newest is ' || max(change.index) AS row
      FROM ${realms(o)} JOIN ${changes(o)} ON change.realm = realm._id
      GROUP BY realm.realm_id HAVING max(change.index) <> count(*) OR min(change.index) <> 1`,
  },
  {
    kind: 'kept',
    table: 'vlob_atom',
    why: 'versions are missing: those that are there keep their numbers',
    query:
      o => `SELECT replace(entry.vlob_id::text, '-', '') || ': ' || count(DISTINCT entry.version) || ' versions, the newest is ' || max(entry.version) AS row
      FROM ${justAtoms(o)} GROUP BY entry.vlob_id
      HAVING max(entry.version) <> count(DISTINCT entry.version) OR min(entry.version) <> 1`,
  },
  {
    kind: 'kept',
    table: 'vlob_atom',
    why: 'the last re-encryption of the realm lacks it: nobody can read it any more',
    query: o => `SELECT replace(entry.vlob_id::text, '-', '') || ' version ' || entry.version AS row
      FROM ${realms(o)} JOIN ${changes(o)} ON change.realm = realm._id JOIN ${justAtoms(o)} ON entry._id = change.vlob_atom
      LEFT JOIN (
        SELECT entry.vlob_id, entry.version, revision.realm, revision.encryption_revision FROM ${atoms(o)}
      ) readable ON readable.realm = realm._id AND readable.vlob_id = entry.vlob_id AND readable.version = entry.version
        AND readable.encryption_revision = ${READABLE}
      WHERE realm.encryption_revision > 1 AND readable.version IS NULL`,
  },
  {
    kind: 'kept',
    table: 'vlob_atom',
    why: 'no change tells of it: it can be read until the realm is encrypted again',
    query: o => `SELECT replace(entry.vlob_id::text, '-', '') || ' version ' || entry.version AS row
      FROM ${realms(o)} JOIN (${atoms(o)}) ON revision.realm = realm._id AND revision.encryption_revision = ${READABLE}
      LEFT JOIN (
        SELECT change.realm, entry.vlob_id, entry.version FROM ${changes(o)} JOIN ${justAtoms(o)} ON entry._id = change.vlob_atom
      ) told ON told.realm = realm._id AND told.vlob_id = entry.vlob_id AND told.version = entry.version
      WHERE told.realm IS NULL`,
  },
  {
    kind: 'kept',
    table: 'vlob_atom',
    why: 'the size is not that of the blob: the blob counts',
    query:
      o => `SELECT replace(entry.vlob_id::text, '-', '') || ' version ' || entry.version || ' (_id ' || entry._id || ')' AS row
      FROM ${justAtoms(o)} WHERE entry.size <> octet_length(entry.blob)`,
  },
  {
    kind: 'kept',
    table: 'block',
    why: 'the size is not that of its data: it cannot be read',
    query: o => `SELECT replace(block.block_id::text, '-', '') || ' (_id ' || block._id || ')' AS row
      FROM organization JOIN block_data content ON content.organization_id = organization.organization_id
      JOIN block ON block.organization = organization._id AND block.block_id = content.block_id
      WHERE organization._id = ${o.organization} AND block.organization = organization._id
        AND block.size <> octet_length(content.data)`,
  },
  {
    kind: 'kept',
    table: 'message',
    why: DOUBLED_MESSAGE,
    query:
      o => `SELECT user_.user_id || ' message ' || message.index AS row FROM ${o.messages} message JOIN user_ ON user_._id = message.recipient
      WHERE message.organization = ${o.organization} AND user_.organization = ${o.organization} GROUP BY user_.user_id, message.index HAVING count(*) > 1`,
  },
  {
    kind: 'kept',
    table: 'invitation',
    why: 'it leads nowhere, so it is over: it says nobody, or its recovery is not there any more',
    query: o => `SELECT replace(token::text, '-', '') AS row FROM ${invitations(o)}
      WHERE invitation.organization = ${o.organization} AND ${isUseless(o)}`,
  },
  {
    kind: 'kept',
    table: 'pki_enrollment',
    why: 'it was accepted, but nothing tells for which device: it counts as cancelled',
    query: o => `SELECT replace(enrollment_id::text, '-', '') AS row FROM pki_enrollment
      WHERE organization = ${o.organization} AND ${IS_LOST}`,
  },
  {
    kind: 'kept',
    table: 'realm',
    why: 'it has no role certificate, so nobody can enter it',
    query: o => `SELECT replace(realm_id::text, '-', '') AS row FROM ${realms(o)}
      WHERE NOT EXISTS (SELECT FROM ${o.roles} entry WHERE entry.realm = realm._id)`,
  },
  {
    kind: 'kept',
    table: 'realm',
    why: 'a garbage collection is under way, which nobody can end: what is in it cannot be read',
    query: o =>
      `SELECT replace(realm_id::text, '-', '') AS row FROM ${realms(o)} WHERE maintenance_type = 'GARBAGE_COLLECTION'`,
  },
  tooLate('user_', own('user_'), 'greatest(created_on, revoked_on)'),
  tooLate('device', own('device'), 'created_on'),
  tooLate('realm_role', o => `${realms(o)} JOIN ${o.roles} entry ON entry.realm = realm._id`, 'certified_on'),
  tooLate('vlob_atom', justAtoms, 'created_on'),
  tooLate('block', own('block'), 'created_on'),
  tooLate(
    'message',
    own('message', o => o.messages),
    'timestamp',
  ),
  tooLate('invitation', own('invitation'), 'greatest(created_on, deleted_on)'),
  {
    kind: 'broken',
    table: 'realm_change',
    why: 'a vlob of the realm has no such version any more',
    query: o => `SELECT replace(realm.realm_id::text, '-', '') || ' change ' || change.index AS row
      FROM ${realms(o)} JOIN ${changes(o)} ON change.realm = realm._id
      LEFT JOIN (${atoms(o)}) ON entry._id = change.vlob_atom AND revision.realm = change.realm
      WHERE entry._id IS NULL`,
  },
]

/** Rows of a kind that are named one by one; more are counted. */
const PAGE = 1000

export async function* checkRows(reader: BulkSession, scope: Scope, { level, measures }: Place): AsyncGenerator<Found> {
  for (const { kind, table, why, query } of CHECKS.filter(({ table }) => measures[table]))
    for await (const rows of reader.pages<{ row: string }>(query({ ...scope, level }), PAGE))
      for (const { row } of rows) yield { kind, table, row, why }
}

/** Whether some recipient has two messages of the same number. */
export const isDoubledMessage = ({ table, why }: Found): boolean => table === 'message' && why === DOUBLED_MESSAGE
