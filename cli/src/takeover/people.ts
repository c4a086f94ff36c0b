/** Rows of which the new schema keeps more than the old one had: what certificates say, and texts in lower case. */
import { inflateMap } from '@parsec/shared/certificates/certificate'
import { SIGNATURE_BYTES } from '@parsec/shared/certificates/crypto'
import { DateTime } from '@parsec/shared/codec/values'
import { limits } from '@parsec/shared/limits'
import type { BulkSession } from '@parsec/shared/postgres/bulk'
import { meant } from './scope.ts'
import type { Origin } from './tables.ts'

/** Rows at once: with their certificates a few hundred kilobytes. */
const PAGE = 500
const DEFAULT_ARCHIVING_PERIOD = 2_592_000

export type Sessions = { readonly reader: BulkSession; readonly writer: BulkSession }
/** What every organization gets where the old level did not have it. */
export type Defaults = { readonly isOutsiderAllowed: boolean }

/** The rows that were written, by table. */
export async function copyPeople(
  sessions: Sessions,
  origin: Origin,
  defaults: Defaults,
): Promise<{ [table: string]: number }> {
  await copyOrganization(sessions, origin, defaults)
  const human = await copyHumans(sessions, origin)
  const user_ = await copyUsers(sessions, origin)
  const device = await copyDevices(sessions, origin)
  const shamir_recovery = origin.level >= 13 ? await copySetups(sessions, origin) : 0
  return { human, user_, device, shamir_recovery }
}

async function copyOrganization({ reader, writer }: Sessions, origin: Origin, defaults: Defaults): Promise<void> {
  const { level, organization, base } = origin
  const created = `(SELECT min(${meant('created_on')}) FROM user_ WHERE organization = ${organization})`
  const [row] = await reader.rows<{ [column: string]: unknown }>(`
    SELECT organization_id::text, bootstrap_token, root_verify_key,
      ${level >= 8 ? `is_expired, NULL::timestamptz AS expiration_date, ${meant('_expired_on')} AS expired_on` : 'FALSE AS is_expired, expiration_date, NULL::timestamptz AS expired_on'},
      ${level >= 6 ? 'user_profile_outsider_allowed' : `${defaults.isOutsiderAllowed} AS user_profile_outsider_allowed`},
      ${level >= 7 ? 'active_users_limit' : 'NULL::int4 AS active_users_limit'},
      ${level >= 14 ? 'minimum_archiving_period' : `${DEFAULT_ARCHIVING_PERIOD} AS minimum_archiving_period`},
      ${level >= 11 ? 'sequester_authority_certificate, sequester_authority_verify_key_der AS sequester_verify_key_der' : 'NULL::bytea AS sequester_authority_certificate, NULL::bytea AS sequester_verify_key_der'},
      coalesce(${level >= 8 ? `${meant('_created_on')}, ` : ''}${created}, now()) AS created_on,
      CASE WHEN root_verify_key IS NOT NULL THEN coalesce(${level >= 8 ? `${meant('_bootstrapped_on')}, ` : ''}${created}, now()) END AS bootstrapped_on
    FROM organization WHERE _id = ${organization}`)
  const columns = Object.keys(row!)
  await writer.run(
    `INSERT INTO organization (_id, ${columns.join(', ')}) OVERRIDING SYSTEM VALUE
     VALUES (${organization + base}, ${columns.map((_, i) => `$${i + 1}`).join(', ')})`,
    Object.values(row!),
  )
}

type Human = { _id: number; email: string; label: string }
const copyHumans = (sessions: Sessions, { organization, base }: Origin): Promise<number> =>
  copyRows<Human>(
    sessions,
    `SELECT (_id + ${base})::bigint AS _id, email::text, label::text FROM human WHERE organization = ${organization}`,
    {
      into: 'human',
      constant: { organization: organization + base },
      columns: {
        _id: ['bigint', row => row._id],
        email: ['text', row => row.email],
        label: ['text', row => row.label],
        folded_email: ['text', row => row.email.toLowerCase()],
        folded_label: ['text', row => row.label.toLowerCase()],
      },
    },
  )

type User = { user_id: string; profile: string | null; user_certificate: Buffer; [column: string]: unknown }
const copyUsers = (sessions: Sessions, { level, organization, messages, base }: Origin): Promise<number> =>
  copyRows<User>(
    sessions,
    `SELECT (_id + ${base})::bigint AS _id, user_id::text, profile::text, (human + ${base})::bigint AS human,
       user_certificate, redacted_user_certificate, (user_certifier + ${base})::bigint AS user_certifier, ${meant('created_on')} AS created_on,
       ${meant('revoked_on')} AS revoked_on, revoked_user_certificate, (revoked_user_certifier + ${base})::bigint AS revoked_user_certifier,
       ${level >= 15 ? 'frozen' : 'FALSE AS frozen'},
       coalesce(inbox.newest, 0)::bigint AS message_count
     FROM user_ LEFT JOIN (
       SELECT recipient, greatest(max(index), count(*)) AS newest FROM ${messages} message WHERE organization = ${organization} GROUP BY 1
     ) inbox ON inbox.recipient = user_._id
     WHERE organization = ${organization}`,
    {
      into: 'user_',
      constant: { organization: organization + base },
      columns: {
        _id: ['bigint', row => row['_id']],
        user_id: ['text', row => row.user_id],
        folded_user_id: ['text', row => row.user_id.toLowerCase()],
        profile: ['text', row => row.profile ?? profileOf(row.user_certificate)],
        human: ['bigint', row => row['human']],
        user_certificate: ['bytea', row => row.user_certificate],
        redacted_user_certificate: ['bytea', row => row['redacted_user_certificate']],
        user_certifier: ['bigint', row => row['user_certifier']],
        created_on: ['timestamptz', row => row['created_on']],
        revoked_on: ['timestamptz', row => row['revoked_on']],
        revoked_user_certificate: ['bytea', row => row['revoked_user_certificate']],
        revoked_user_certifier: ['bigint', row => row['revoked_user_certifier']],
        frozen: ['boolean', row => row['frozen']],
        message_count: ['bigint', row => row['message_count']],
      },
    },
  )

type Device = { device_certificate: Buffer; [column: string]: unknown }
const copyDevices = (sessions: Sessions, { organization, base }: Origin): Promise<number> =>
  copyRows<Device>(
    sessions,
    `SELECT (_id + ${base})::bigint AS _id, (user_ + ${base})::bigint AS user_, device_id::text, device_label::text,
       device_certificate, redacted_device_certificate, (device_certifier + ${base})::bigint AS device_certifier, ${meant('created_on')} AS created_on
     FROM device WHERE organization = ${organization}`,
    {
      into: 'device',
      constant: { organization: organization + base },
      columns: {
        _id: ['bigint', row => row['_id']],
        user_: ['bigint', row => row['user_']],
        device_id: ['text', row => row['device_id']],
        device_label: ['text', row => row['device_label']],
        verify_key: ['bytea', row => bytesIn(row.device_certificate, 'verify_key')],
        device_certificate: ['bytea', row => row.device_certificate],
        redacted_device_certificate: ['bytea', row => row['redacted_device_certificate']],
        device_certifier: ['bigint', row => row['device_certifier']],
        created_on: ['timestamptz', row => row['created_on']],
      },
    },
  )

type Setup = { brief_certificate: Buffer; [column: string]: unknown }
/** A setup that was removed protects nothing any more: nobody can ask for it. */
async function copySetups(sessions: Sessions, { organization, base }: Origin): Promise<number> {
  const copied = await copyRows<Setup>(
    sessions,
    `SELECT (_id + ${base})::bigint AS _id, (user_ + ${base})::bigint AS user_, reveal_token, brief_certificate,
       threshold::bigint, ciphered_data
     FROM shamir_recovery_setup WHERE organization = ${organization} AND ciphered_data IS NOT NULL`,
    {
      into: 'shamir_recovery',
      constant: { organization: organization + base },
      columns: {
        _id: ['bigint', row => row['_id']],
        user_: ['bigint', row => row['user_']],
        reveal_token: ['uuid', row => row['reveal_token']],
        brief_certificate: ['bytea', row => row.brief_certificate],
        threshold: ['bigint', row => row['threshold']],
        ciphered_data: ['bytea', row => row['ciphered_data']],
        created_on: ['timestamptz', row => instantIn(row.brief_certificate)],
      },
    },
  )
  if (copied === 0) return 0
  const active = `SELECT user_._id, setup._id AS setup FROM user_ JOIN shamir_recovery_setup setup ON setup._id = user_.shamir_recovery
    WHERE user_.organization = ${organization} AND setup.ciphered_data IS NOT NULL`
  for await (const rows of sessions.reader.pages<{ _id: number; setup: number }>(active, PAGE))
    await sessions.writer.run(
      `UPDATE user_ SET shamir_recovery = active.setup + ${base}
       FROM unnest($1::bigint[], $2::bigint[]) active (_id, setup) WHERE user_._id = active._id + ${base}`,
      [rows.map(row => row._id), rows.map(row => row.setup)],
    )
  return copied
}

type Destination<Row> = {
  into: string
  constant: { readonly [column: string]: number }
  /** Type and value of each. */
  columns: { readonly [column: string]: readonly [type: string, value: (row: Row) => unknown] }
}
async function copyRows<Row extends object>(
  { reader, writer }: Sessions,
  query: string,
  { into, constant, columns }: Destination<Row>,
): Promise<number> {
  const names = Object.keys(columns)
  const statement = `
    INSERT INTO ${into} (${[...Object.keys(constant), ...names].join(', ')}) OVERRIDING SYSTEM VALUE
    SELECT ${[...Object.values(constant), ...names.map(name => `item.${name}`)].join(', ')}
    FROM unnest(${Object.values(columns).map(([type], i) => `$${i + 1}::${type}[]`)}) item (${names.join(', ')})`
  let copied = 0
  for await (const rows of reader.pages<Row>(query, PAGE))
    copied += await writer.run(
      statement,
      Object.values(columns).map(([, value]) => rows.map(value)),
    )
  return copied
}

// What certificates say, whoever signed them: that was checked before, or the operator waived it.

type Content = NonNullable<ReturnType<typeof inflateMap>>
const contentOf = (certificate: Buffer): Content =>
  inflateMap(certificate.subarray(SIGNATURE_BYTES), limits.large_certificate.value) ?? {}

function bytesIn(certificate: Buffer, field: string): Buffer {
  const value = contentOf(certificate)[field]
  return value instanceof Uint8Array ? Buffer.from(value) : Buffer.alloc(0)
}
function profileOf(certificate: Buffer): string {
  const { profile, is_admin } = contentOf(certificate)
  return typeof profile === 'string' ? profile : is_admin === true ? 'ADMIN' : 'STANDARD'
}
function instantIn(certificate: Buffer): string {
  const { timestamp } = contentOf(certificate)
  return timestamp instanceof DateTime ? String(timestamp) : new Date(0).toISOString()
}
