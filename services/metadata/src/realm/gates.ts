/**
 * The gates that commands on a realm share (spec 05 §5). State comes before the role, so a stranger learns that a realm
 * is archived or in maintenance: clients rely on that order.
 */
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import { fragment, type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { DeviceID, MaintenanceType, RealmRole } from '@parsec/shared/protocol/types'

/** What the gates look at: the realm, and the caller's place in it. */
export type RealmFacts = {
  encryption_revision: number
  maintenance_type: MaintenanceType | null
  archiving: 'AVAILABLE' | 'ARCHIVED' | 'DELETION_PLANNED'
  deletion_date: DateTime | null
  role: RealmRole | null
  /** Timestamp of the newest role certificate about the caller. */
  certified_on: DateTime | null
}

/** The columns of `RealmFacts`, for statements with `realm` and the caller's place in it. */
export const GATES = fragment`realm.encryption_revision, realm.maintenance_type, realm.archiving, realm.deletion_date,
  caller.role, caller.certified_on`

/** The caller's place in `realm`, if any; the user's key follows: `${JOIN_CALLER} = ${user}`. */
export const JOIN_CALLER = fragment`LEFT JOIN realm_user caller ON caller.realm = realm._id AND caller.user_`
/** The same for many callers, of whom `q.user_` is one: by key, whatever the planner believes of the number of members. */
export const CALLER_BY_KEY = fragment`LEFT JOIN LATERAL (
    SELECT * FROM realm_user WHERE realm_user.realm = realm._id AND realm_user.user_ = q.user_ OFFSET 0
  ) caller ON TRUE`

export type Realm = RealmFacts & {
  realm: number
  /** Index of the newest change. */
  checkpoint: number
  /** Indices up to it without a change, or without its version at the readable revision. */
  gaps: number
  /** With the checkpoint, the place of the newest event. */
  steps: number
  maintenance_started_on: DateTime | null
  maintenance_started_by: DeviceID | null
  /** Versions that the running re-encryption has saved, and the index up to which it has all of them. */
  reencrypted: number
  reencrypted_up_to: number
}

/** A realm with what its gates look at; undefined when there is none. */
export const findRealm = (db: Queryable, organization: number, realm_id: Uuid, user: number) =>
  db.one<Realm>(sql`
    SELECT realm._id AS realm, realm.checkpoint, realm.gaps, realm.steps, realm.maintenance_started_on,
      realm.maintenance_started_by, realm.reencrypted, realm.reencrypted_up_to, ${GATES}
    FROM realm ${JOIN_CALLER} = ${user}
    WHERE realm.organization = ${organization} AND realm.realm_id = ${realm_id}`)

export const realmNotFound = (realm_id: Uuid) => ({
  status: 'not_found' as const,
  reason: `Realm \`${realm_id}\` doesn't exist`,
})

/** G2: the planned deletion has come. */
export const isDeleted = (realm: Pick<RealmFacts, 'archiving' | 'deletion_date'>, now: DateTime): boolean =>
  realm.archiving === 'DELETION_PLANNED' && realm.deletion_date !== null && !realm.deletion_date.isAfter(now)

export const canWrite = (role: RealmRole | null): boolean => role !== null && role !== 'READER'

const refuse = <const S extends string>(status: S): { status: S } => ({ status })

/** READ column for commands without a revision. */
export function readRefusal(realm: RealmFacts, now: DateTime) {
  if (isDeleted(realm, now)) return refuse('realm_deleted')
  if (realm.maintenance_type === 'GARBAGE_COLLECTION') return refuse('in_maintenance')
  if (realm.role === null) return refuse('not_allowed')
  return undefined
}

/** During a re-encryption the revision before. */
export const readableRevision = (realm: RealmFacts): number =>
  realm.encryption_revision - (realm.maintenance_type === 'REENCRYPTION' ? 1 : 0)

/** READ column for a read at `revision`. */
export function readAtRefusal(realm: RealmFacts, now: DateTime, revision: number) {
  if (isDeleted(realm, now)) return refuse('realm_deleted')
  if (realm.maintenance_type === 'GARBAGE_COLLECTION') return refuse('in_maintenance')
  const readable = readableRevision(realm)
  if (readable !== realm.encryption_revision && revision === realm.encryption_revision) return refuse('in_maintenance')
  if (revision !== readable) return refuse('bad_encryption_revision')
  if (realm.role === null) return refuse('not_allowed')
  return undefined
}

/** WRITE column, G2 to G4. */
export function writeStateRefusal(realm: RealmFacts, now: DateTime) {
  if (isDeleted(realm, now)) return refuse('realm_deleted')
  if (realm.archiving !== 'AVAILABLE') return refuse('realm_archived')
  if (realm.maintenance_type !== null) return refuse('in_maintenance')
  return undefined
}

/** WRITE column, G2 to G7, of a vlob stamped `timestamp`. */
export function vlobWriteRefusal(realm: RealmFacts, now: DateTime, revision: number, timestamp: DateTime) {
  const refusal = writeStateRefusal(realm, now)
  if (refusal) return refusal
  if (revision !== realm.encryption_revision) return refuse('bad_encryption_revision')
  if (!canWrite(realm.role)) return refuse('not_allowed')
  // C1
  if (realm.certified_on && !timestamp.isAfter(realm.certified_on)) return greater(realm.certified_on)
  return undefined
}

/** The refusal that makes a client stamp later than `strictly_greater_than` and try again. */
export const greater = (strictly_greater_than: DateTime) => ({
  status: 'require_greater_timestamp' as const,
  strictly_greater_than,
})
