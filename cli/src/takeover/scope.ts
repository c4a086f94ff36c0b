/**
 * Which rows of the source are those of an organization. The keys of its realms stand in the queries themselves: tables
 * that know the realm only are then read by their index whatever the planner believes, and with nested loops forbidden
 * (`source.ts`) every join is by hash or by merge. A database that was restored just now has no statistics.
 */
import type { BulkSession } from '@parsec/shared/postgres/bulk'
import type { Places } from './places.ts'

export type Scope = Places & {
  readonly organization: number
  /** Arrays of keys, as SQL. */
  readonly realms: string
  readonly revisions: string
}

export async function scopeOf(reader: BulkSession, organization: number, places: Places): Promise<Scope> {
  const realms = await keysIn(reader, `SELECT _id FROM realm WHERE organization = ${organization}`)
  const revisions = await keysIn(reader, `SELECT _id FROM vlob_encryption_revision WHERE realm = ANY(${realms})`)
  return { ...places, organization, realms, revisions }
}
async function keysIn(reader: BulkSession, query: string): Promise<string> {
  const rows = await reader.rows<{ _id: number }>(query)
  return `'{${rows.map(({ _id }) => _id).join(',')}}'::int4[]`
}

/** Nothing was written after it, but for v2.12.0 of the original, which took 2000 for 1970. */
const TOO_LATE = "'2050-01-01T00:00:00Z'"
export const isTooLate = (instant: string): string => `${instant} >= ${TOO_LATE}`
/** The instant that was meant. */
export const meant = (instant: string): string =>
  `CASE WHEN ${isTooLate(instant)} THEN ${instant} - interval '946684800 seconds' ELSE ${instant} END`

/** At the level of the source. */
type Level = { readonly level: number }

// What follows stands in a FROM.

export const realms = ({ organization }: Scope): string =>
  `(SELECT * FROM realm WHERE organization = ${organization}) realm`
/** `entry`, an atom, and its `revision`. */
export const atoms = (scope: Scope): string =>
  `(SELECT * FROM vlob_encryption_revision WHERE realm = ANY(${scope.realms})) revision
   JOIN ${justAtoms(scope)} ON entry.vlob_encryption_revision = revision._id`
export const justAtoms = (scope: Scope): string =>
  `(SELECT * FROM vlob_atom WHERE vlob_encryption_revision = ANY(${scope.revisions})) entry`
export const changes = (scope: Scope): string =>
  `(SELECT * FROM realm_vlob_update WHERE realm = ANY(${scope.realms})) change`
/** With the `setup` that an invitation is for, if that has not been removed. */
export const invitations = ({ level }: Level): string =>
  level >= 13
    ? 'invitation LEFT JOIN shamir_recovery_setup setup ON setup._id = invitation.shamir_recovery AND setup.ciphered_data IS NOT NULL'
    : 'invitation'

// And this in a WHERE.

/** A live invitation of `invitations` that leads nowhere: nobody is invited, or to a recovery that is not there. */
export const isUseless = ({ level }: Level): string =>
  `(deleted_on IS NULL AND (type = 'USER' AND claimer_email IS NULL${
    level >= 13
      ? " OR type = 'SHAMIR_RECOVERY' AND NOT EXISTS (SELECT FROM shamir_recovery_share WHERE shamir_recovery = setup._id)"
      : ''
  }))`
/** An enrollment that made a user, and one that says so but not which. */
const HAS_MADE = '(submitter_accepted_device IS NOT NULL AND info_accepted IS NOT NULL)'
export const IS_ACCEPTED = `(enrollment_state = 'ACCEPTED' AND ${HAS_MADE})`
export const IS_LOST = `(enrollment_state = 'ACCEPTED' AND NOT ${HAS_MADE})`

/** The revision at which versions of `realm` can be read: during a re-encryption the one before. */
export const READABLE = `realm.encryption_revision - (realm.maintenance_type IS NOT DISTINCT FROM 'REENCRYPTION')::int`
