/** All that a database holds of an organization, by the names that it has everywhere: keys of a database are left out. */
import { BELONGINGS, selection } from '@parsec/metadata/storage/belongings'
import type { TestDatabase } from '../harness/backing.ts'

/** What names a row that others refer to. */
const NAMES: { readonly [table: string]: string } = {
  organization: 'organization_id',
  human: 'email',
  user_: 'user_id',
  device: 'device_id',
  realm: 'realm_id',
  vlob: 'vlob_id',
  sequester_service: 'service_id',
  shamir_recovery: 'md5(brief_certificate)',
}
/** How far figures of realms have been added up, of which the sums are compared, and where a re-encryption is or was. */
const PASSING = ['_id', 'tallied_size', 'is_untallied', 'steps', 'reencrypted', 'reencrypted_up_to']

/** Figures and exchanges that are kept beside the rows. `$organization`: the key. */
const KEPT: { readonly [name: string]: string } = {
  conduit: `SELECT concat_ws(' ', token, user_id, state) AS line FROM conduit JOIN invitation ON invitation._id = invitation
    JOIN user_ ON user_._id = conduit.greeter WHERE invitation.organization = $organization`,
  realm_blocks: `SELECT concat_ws(' ', realm_id, sum(size)) AS line FROM realm_blocks JOIN realm ON realm._id = realm
    WHERE realm.organization = $organization GROUP BY realm_id HAVING sum(size) > 0`,
  organization_users: `SELECT concat_ws(' ', profile, active, revoked) AS line FROM organization_users
    WHERE organization = $organization AND active + revoked > 0`,
  early_version: `SELECT concat_ws(' ', realm_id, size, early_version.created_on) AS line FROM early_version
    JOIN realm ON realm._id = realm WHERE early_version.organization = $organization AND early_version.created_on > now()`,
  organization_tally: `SELECT concat_ws(' ', coalesce(sum(realms), 0),
      coalesce(sum(metadata_size), 0) + (SELECT coalesce(sum(vlobs_size + copies_size - coalesce(tallied_size, 0)), 0) FROM realm WHERE organization = $organization),
      coalesce(sum(data_size), 0) + (SELECT coalesce(sum(size - coalesce(tallied_size, 0)), 0) FROM realm_blocks WHERE organization = $organization)) AS line
    FROM organization_tally WHERE organization = $organization`,
}

export type Content = { readonly [table: string]: readonly string[] }

/** Rows with keys stand in the order of these. */
export async function contentOf(database: TestDatabase, organization_id: string): Promise<Content> {
  const [found] = await database.query<{ key: string }>(
    'SELECT _id AS key FROM organization WHERE organization_id = $1',
    [organization_id],
  )
  const place = { key: Number(found!.key), name: organization_id }
  const parts = (await statementsFor(database)).map(
    ([table, text]) => `SELECT '${table}' AS table, coalesce(array_agg(line), '{}') AS lines FROM (
      ${selection(text, place)}
    ) ${table}`,
  )
  const rows = await database.query<{ table: string; lines: string[] }>(parts.join(' UNION ALL '))
  return Object.fromEntries(rows.map(({ table, lines }) => [table, lines]))
}

async function statementsFor(database: TestDatabase): Promise<[table: string, text: string][]> {
  const columns = await database.query<{ table: string; name: string; type: string }>(
    `SELECT attrelid::regclass::text AS table, attname AS name, atttypid::regtype::text AS type FROM pg_attribute
     WHERE attrelid = ANY ($1::text[]::regclass[]) AND attnum > 0 AND NOT attisdropped ORDER BY attname`,
    [BELONGINGS.map(({ table }) => table)],
  )
  const rows = BELONGINGS.map(({ table, where, refs, without = [] }): [string, string] => {
    const own = columns.filter(column => column.table === table)
    const values = own
      .filter(({ name }) => !PASSING.includes(name) && (name === 'gaps' || !without.includes(name)))
      .map(({ name, type }) => {
        if (refs[name]) return `'${name}', (SELECT ${NAMES[refs[name]]} FROM ${refs[name]} WHERE _id = own.${name})`
        return `'${name}', ${type === 'bytea' ? `md5(own.${name})` : `own.${name}`}`
      })
    const line = `json_build_object(${values.join(', ')})::text AS line`
    const order = own.some(({ name }) => name === '_id') ? 'own._id' : 'line'
    return [table, `SELECT ${line} FROM (SELECT * FROM ${table} WHERE ${where}) own ORDER BY ${order}`]
  })
  return [...rows, ...Object.entries(KEPT).map(([name, text]): [string, string] => [name, `${text} ORDER BY 1`])]
}
