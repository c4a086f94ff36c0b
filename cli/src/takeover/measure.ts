/** Rows and bytes of an organization, by table: of the source before, of the target after, to be compared (spec 07 §4). */
import type { BulkSession } from '@parsec/shared/postgres/bulk'

export type Measure = { readonly rows: number; readonly bytes: number }
export type Measures = { readonly [table: string]: Measure }
/** An organization of the source; tables without rows are absent. */
export type Place = { readonly level: number; readonly organization: number; readonly measures: Measures }

type Measured = {
  /** Of all organizations at once: `organization`, `rows`, `bytes`. */
  source: string
  from?: number
  until?: number
  /** Of one, `$1`. */
  target: string
}
const REALMS = 'JOIN realm ON realm._id = entry.realm'
/** What is summed of rows without a size: their keys would differ, their numbers may not. */
const NOTHING = '0::bigint'

const count = (from: string, bytes = NOTHING, organization = 'organization'): string =>
  `SELECT ${organization} AS organization, count(*)::bigint AS rows, coalesce(sum(${bytes}), 0)::bigint AS bytes FROM ${from} GROUP BY 1`
const countOne = (from: string, bytes = NOTHING, organization = 'organization'): string =>
  `SELECT count(*)::bigint AS rows, coalesce(sum(${bytes}), 0)::bigint AS bytes FROM ${from} WHERE ${organization} = $1`
const same = (from: string, bytes = NOTHING, organization = 'organization'): Measured => ({
  source: count(from, bytes, organization),
  target: countOne(from, bytes, organization),
})

const MEASURED: { readonly [table: string]: Measured } = {
  human: same('human', 'octet_length(email) + octet_length(label)'),
  user_: same(
    'user_',
    'octet_length(user_certificate) + octet_length(redacted_user_certificate) + coalesce(octet_length(revoked_user_certificate), 0)',
  ),
  device: same('device', 'octet_length(device_certificate) + octet_length(redacted_device_certificate)'),
  realm: same('realm', 'encryption_revision'),
  realm_role: {
    source: count(`realm_user_role entry ${REALMS}`, 'octet_length(entry.certificate)', 'realm.organization'),
    target: countOne(`realm_role entry ${REALMS}`, 'octet_length(entry.certificate)', 'realm.organization'),
  },
  realm_archiving: {
    ...same(`realm_archiving entry ${REALMS}`, 'octet_length(entry.certificate)', 'realm.organization'),
    from: 14,
  },
  vlob: {
    source: `SELECT realm.organization, count(DISTINCT vlob_id)::bigint AS rows, 0::bigint AS bytes
      FROM vlob_atom JOIN vlob_encryption_revision entry ON entry._id = vlob_atom.vlob_encryption_revision ${REALMS} GROUP BY 1`,
    target: countOne('vlob'),
  },
  vlob_atom: {
    source: count(
      `vlob_atom JOIN vlob_encryption_revision entry ON entry._id = vlob_atom.vlob_encryption_revision ${REALMS}`,
      'octet_length(blob)',
      'realm.organization',
    ),
    target: countOne('vlob_atom JOIN vlob ON vlob._id = vlob_atom.vlob', 'vlob_atom.size', 'vlob.organization'),
  },
  realm_change: {
    source: count(`realm_vlob_update entry ${REALMS}`, NOTHING, 'realm.organization'),
    target: countOne(`realm_change entry ${REALMS}`, NOTHING, 'realm.organization'),
  },
  block: same('block', 'size'),
  block_data: {
    source: count(
      'block_data JOIN organization ON organization.organization_id = block_data.organization_id JOIN block ON block.organization = organization._id AND block.block_id = block_data.block_id',
      'octet_length(data)',
      'organization._id',
    ),
    target: countOne(
      'block_data JOIN organization ON organization.organization_id = block_data.organization_id',
      'octet_length(data)',
      'organization._id',
    ),
  },
  message: {
    source: count('message', 'octet_length(body)'),
    target: countOne('message JOIN user_ ON user_._id = message.recipient', 'octet_length(body)', 'user_.organization'),
  },
  shamir_recovery: {
    source: count('shamir_recovery_setup WHERE ciphered_data IS NOT NULL', 'octet_length(ciphered_data)'),
    target: countOne('shamir_recovery', 'octet_length(ciphered_data)'),
    from: 13,
  },
  shamir_recovery_share: {
    source: count(
      'shamir_recovery_share share JOIN shamir_recovery_setup setup ON setup._id = share.shamir_recovery WHERE setup.ciphered_data IS NOT NULL',
      'octet_length(share_certificate)',
      'setup.organization',
    ),
    target: countOne(
      'shamir_recovery_share share JOIN shamir_recovery setup ON setup._id = share.shamir_recovery',
      'octet_length(share_certificate)',
      'setup.organization',
    ),
    from: 13,
  },
  invitation: same('invitation'),
  legacy_invitation: {
    source: `SELECT organization, count(DISTINCT invited)::bigint AS rows, 0::bigint AS bytes FROM (
        SELECT organization, user_id::text AS invited FROM user_invitation UNION ALL SELECT organization, device_id::text FROM device_invitation
      ) pending GROUP BY 1`,
    target: countOne('legacy_invitation'),
    until: 7,
  },
  pki_enrollment: {
    ...same('pki_enrollment', 'octet_length(submit_payload) + octet_length(submitter_der_x509_certificate)'),
    from: 10,
  },
  sequester_service: {
    source: count('sequester_service', 'octet_length(service_certificate)'),
    target: countOne('sequester_service', 'octet_length(certificate)'),
    from: 11,
  },
  sequester_blob: {
    source: count(
      'sequester_service_vlob_atom blob JOIN sequester_service service ON service._id = blob.service',
      'octet_length(blob.blob)',
      'service.organization',
    ),
    target: countOne(
      'sequester_blob blob JOIN sequester_service service ON service._id = blob.service',
      'octet_length(blob.blob)',
      'service.organization',
    ),
    from: 11,
  },
}

/** Of every organization of the source, by its key; tables without rows are absent. */
export async function measureSource(
  rows: BulkSession['rows'],
  level: number,
): Promise<Map<number, { [table: string]: Measure }>> {
  const measures = new Map<number, { [table: string]: Measure }>()
  for (const [table, { source, from = 0, until = Infinity }] of Object.entries(MEASURED)) {
    if (level < from || level > until) continue
    for (const { organization, ...measure } of await rows<Measure & { organization: number }>(source)) {
      if (!measures.has(organization)) measures.set(organization, {})
      measures.get(organization)![table] = measure
    }
  }
  return measures
}

/** Of one organization of the target, by its key. */
export async function measureTarget(session: BulkSession, organization: number): Promise<Measures> {
  const parts = Object.entries(MEASURED).map(
    ([table, { target }]) => `SELECT '${table}' AS table, * FROM (${target}) ${table}`,
  )
  const rows = await session.rows<Measure & { table: string }>(parts.join(' UNION ALL '), [organization])
  return Object.fromEntries(rows.map(({ table, rows, bytes }) => [table, { rows, bytes }]))
}

export const NONE: Measure = { rows: 0, bytes: 0 }
export const sumOf = (measures: readonly Measure[]): Measure =>
  measures.reduce((sum, { rows, bytes }) => ({ rows: sum.rows + rows, bytes: sum.bytes + bytes }), NONE)

/** Tables in which the target differs from the source, `leftOut` rows of it apart; block data only when it was copied. */
export function differences(
  source: Measures,
  target: Measures,
  leftOut: ReadonlyMap<string, number>,
  { withBlockData }: { withBlockData: boolean },
): string[] {
  return Object.keys(MEASURED).flatMap(table => {
    if (table === 'block_data' && !withBlockData) return []
    const [before, after, missing] = [source[table] ?? NONE, target[table] ?? NONE, leftOut.get(table) ?? 0]
    const isSame = before.rows - missing === after.rows && (missing > 0 || before.bytes === after.bytes)
    if (isSame) return []
    return [
      `${table}: ${before.rows} rows, ${before.bytes} bytes in the source; ${after.rows} rows, ${after.bytes} bytes here`,
    ]
  })
}
