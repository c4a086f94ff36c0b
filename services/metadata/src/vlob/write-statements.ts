/** The statements of commands that write versions of vlobs: what they find under the locks, and what they write. */
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import { fragment, type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { AuthenticatedContext } from '@parsec/shared/protocol/context'
import { CALLER_BY_KEY, GATES, JOIN_CALLER, type RealmFacts } from '../realm/gates.ts'
import type { ServiceBlob } from '../sequester/blobs.ts'
import { INTO_OUTBOX, type OutboxEvent } from '../storage/outbox.ts'

/** A realm under its lock. */
export type LockedRealm = RealmFacts & {
  realm: number
  realm_id: Uuid
  /** Index of the newest change. */
  checkpoint: number
  /** With it, the place of the newest event. */
  steps: number
}
export type LockedVlob = LockedRealm & {
  vlob: number
  /** The newest, and its timestamp. */
  version: number
  timestamp: DateTime
}
/** `vlob` null: the organization has none of that id. */
export type Place = LockedVlob | (LockedRealm & { vlob: null; version: null; timestamp: null })

/** What a command writes. */
export type NewVersion = { encryption_revision: number; timestamp: DateTime; blob: Buffer }

export type Version = NewVersion & {
  context: AuthenticatedContext
  realm: number
  realm_id: Uuid
  steps: number
  vlob_id: Uuid
  /** Null: to be created. */
  vlob: number | null
  version: number
  blobs: readonly ServiceBlob[]
}
/** `checkpoint`: its number among the changes of the realm. */
export type NumberedVersion = Version & { checkpoint: number }

/** Of each key the last entry. */
const newest = <K, T>(items: readonly T[], keyOf: (item: T) => K): T[] => [
  ...new Map(items.map(item => [keyOf(item), item])).values(),
]

// One command alone, which is what comes when there is little to do, has statements of its own: those for many cost more.
// The statement after a lock sees everything that was committed before the lock was had. `OFFSET 0`: by key, whatever the
// planner believes of the number of keys; `(SELECT …)`: it does not know it, so one plan serves all.

export type Wanted = { context: AuthenticatedContext; vlob_id: Uuid; realm_id: Uuid | null }

/** Locks the realms of the wanted that nobody else has locked, and tells which. */
export function lockRealms(tx: Queryable, wanted: readonly Wanted[]): Promise<{ realm: number }[]> {
  const [only] = wanted
  return only?.realm_id === null && wanted.length === 1 ? lockRealmOf(tx, only) : lockRealmsOf(tx, wanted)
}
const lockRealmOf = (tx: Queryable, { context, vlob_id }: Wanted) =>
  tx.all<{ realm: number }>(sql`
    SELECT _id AS realm FROM realm
    WHERE _id = (SELECT realm FROM vlob WHERE organization = ${context.organization} AND vlob_id = ${vlob_id})
    FOR NO KEY UPDATE SKIP LOCKED`)
const lockRealmsOf = (tx: Queryable, wanted: readonly Wanted[]) =>
  tx.all<{ realm: number }>(sql`
    SELECT locked.realm FROM (
      SELECT DISTINCT CASE
        WHEN q.realm_id IS NULL THEN (SELECT realm FROM vlob WHERE organization = q.organization AND vlob_id = q.vlob_id)
        ELSE (SELECT _id FROM realm WHERE organization = q.organization AND realm_id = q.realm_id)
      END AS realm
      FROM unnest((SELECT ${wanted.map(w => w.context.organization)}::bigint[]), (SELECT ${wanted.map(w => w.vlob_id)}::uuid[]),
        (SELECT ${wanted.map(w => w.realm_id)}::uuid[])) AS q (organization, vlob_id, realm_id)
    ) wanted
    CROSS JOIN LATERAL (SELECT _id AS realm FROM realm WHERE _id = wanted.realm FOR NO KEY UPDATE SKIP LOCKED) locked`)

/** `n`: which of the wanted it is for, from 1. */
export function findPlaces(tx: Queryable, wanted: readonly Wanted[]): Promise<(Place & { n: number })[]> {
  const [only] = wanted
  return only?.realm_id === null && wanted.length === 1 ? findVlob(tx, only) : findAll(tx, wanted)
}
/** The columns of `Place`. */
const PLACE = fragment`vlob._id AS vlob, vlob.version, vlob.timestamp, realm._id AS realm, realm.realm_id, realm.checkpoint,
  realm.steps, ${GATES}`

const findVlob = (tx: Queryable, { context, vlob_id }: Wanted) =>
  tx.all<Place & { n: number }>(sql`
    SELECT 1 AS n, ${PLACE}
    FROM vlob JOIN realm ON realm._id = vlob.realm ${JOIN_CALLER} = ${context.user}
    WHERE vlob.organization = ${context.organization} AND vlob.vlob_id = ${vlob_id}`)
const findAll = (tx: Queryable, wanted: readonly Wanted[]) =>
  tx.all<Place & { n: number }>(sql`
    SELECT q.n, ${PLACE}
    FROM unnest((SELECT ${wanted.map(w => w.context.organization)}::bigint[]), (SELECT ${wanted.map(w => w.vlob_id)}::uuid[]),
      (SELECT ${wanted.map(w => w.realm_id)}::uuid[]), (SELECT ${wanted.map(w => w.context.user)}::bigint[]))
      WITH ORDINALITY AS q (organization, vlob_id, realm_id, user_, n)
    LEFT JOIN LATERAL (
      SELECT * FROM vlob WHERE vlob.organization = q.organization AND vlob.vlob_id = q.vlob_id OFFSET 0
    ) vlob ON TRUE
    CROSS JOIN LATERAL (
      SELECT * FROM realm WHERE realm._id = CASE
        WHEN q.realm_id IS NULL THEN vlob.realm
        ELSE (SELECT _id FROM realm WHERE realm.organization = q.organization AND realm.realm_id = q.realm_id)
      END OFFSET 0
    ) realm
    ${CALLER_BY_KEY}`)

// Effects

/** The same as `appendVersions`, `advance` and the event's row for the commonest case, for less. */
export const appendVersion = (tx: Queryable, v: NumberedVersion & { vlob: number }, { subject, event }: OutboxEvent) =>
  tx.all<{ _id: number }>(sql`
    WITH atom AS (
      INSERT INTO vlob_atom (vlob, encryption_revision, version, blob, size, author, created_on)
      VALUES (${v.vlob}, ${v.encryption_revision}, ${v.version}, ${v.blob}, ${v.blob.length}, ${v.context.device}, ${v.timestamp})
    ), change AS (
      INSERT INTO realm_change (realm, index, vlob, version, size)
      VALUES (${v.realm}, ${v.checkpoint}, ${v.vlob}, ${v.version}, ${v.blob.length})
    ), realm AS (
      UPDATE realm SET checkpoint = ${v.checkpoint}, vlobs_size = vlobs_size + ${v.blob.length}, is_untallied = TRUE
      WHERE _id = ${v.realm}
    ), author AS (
      UPDATE realm_user SET last_vlob_update = greatest(last_vlob_update, ${v.timestamp})
      WHERE realm = ${v.realm} AND user_ = ${v.context.user}
    ), newest AS (
      UPDATE vlob SET version = ${v.version}, timestamp = ${v.timestamp}, changed = ${v.checkpoint} WHERE _id = ${v.vlob}
    )
    ${INTO_OUTBOX} VALUES (${subject}, ${event}) RETURNING _id`)

export const appendVersions = (tx: Queryable, versions: readonly (NumberedVersion & { vlob: number })[]) => {
  const last = newest(versions, v => v.vlob)
  return tx.run(sql`
    WITH v AS (
      SELECT * FROM unnest((SELECT ${versions.map(v => v.vlob)}::bigint[]), (SELECT ${versions.map(v => v.realm)}::bigint[]),
        (SELECT ${versions.map(v => v.checkpoint)}::bigint[]), (SELECT ${versions.map(v => v.encryption_revision)}::bigint[]),
        (SELECT ${versions.map(v => v.version)}::bigint[]), (SELECT ${versions.map(v => v.blob)}::bytea[]),
        (SELECT ${versions.map(v => v.context.device)}::bigint[]), (SELECT ${versions.map(v => v.timestamp)}::timestamptz[]))
        AS v (vlob, realm, checkpoint, encryption_revision, version, blob, author, created_on)
    ), atom AS (
      INSERT INTO vlob_atom (vlob, encryption_revision, version, blob, size, author, created_on)
      SELECT vlob, encryption_revision, version, blob, length(blob), author, created_on FROM v
    ), change AS (
      INSERT INTO realm_change (realm, index, vlob, version, size) SELECT realm, checkpoint, vlob, version, length(blob) FROM v
    )
    UPDATE vlob SET version = last.version, timestamp = last.timestamp, changed = last.checkpoint
    FROM unnest((SELECT ${last.map(v => v.vlob)}::bigint[]), (SELECT ${last.map(v => v.version)}::bigint[]),
      (SELECT ${last.map(v => v.timestamp)}::timestamptz[]), (SELECT ${last.map(v => v.checkpoint)}::bigint[]))
      AS last (_id, version, timestamp, checkpoint)
    WHERE vlob._id = last._id`)
}

/** Those whose id was taken meanwhile are missing in the result. */
export const createVlobs = (tx: Queryable, versions: readonly NumberedVersion[]) =>
  tx.all<{ vlob: number; vlob_id: Uuid }>(sql`
    WITH v AS (
      SELECT * FROM unnest((SELECT ${versions.map(v => v.context.organization)}::bigint[]), (SELECT ${versions.map(v => v.vlob_id)}::uuid[]),
        (SELECT ${versions.map(v => v.realm)}::bigint[]), (SELECT ${versions.map(v => v.checkpoint)}::bigint[]),
        (SELECT ${versions.map(v => v.encryption_revision)}::bigint[]), (SELECT ${versions.map(v => v.blob)}::bytea[]),
        (SELECT ${versions.map(v => v.context.device)}::bigint[]), (SELECT ${versions.map(v => v.timestamp)}::timestamptz[]))
        AS v (organization, vlob_id, realm, checkpoint, encryption_revision, blob, author, created_on)
    ), created AS (
      INSERT INTO vlob (organization, vlob_id, realm, version, timestamp, changed)
      SELECT organization, vlob_id, realm, 1, created_on, checkpoint FROM v ON CONFLICT DO NOTHING RETURNING _id, organization, vlob_id
    ), atom AS (
      INSERT INTO vlob_atom (vlob, encryption_revision, version, blob, size, author, created_on)
      SELECT created._id, encryption_revision, 1, blob, length(blob), author, created_on
      FROM created JOIN v USING (organization, vlob_id)
    ), change AS (
      INSERT INTO realm_change (realm, index, vlob, version, size)
      SELECT realm, checkpoint, created._id, 1, length(blob) FROM created JOIN v USING (organization, vlob_id)
    )
    SELECT _id AS vlob, vlob_id FROM created`)

/** What the versions change of their realms, and of their authors' places there. */
export const advance = (tx: Queryable, versions: readonly NumberedVersion[]) => {
  const realms = newest(versions, v => v.realm)
  const sizes = new Map<number, number>()
  for (const { realm, blob } of versions) sizes.set(realm, (sizes.get(realm) ?? 0) + blob.length)
  const authors = newest(
    versions.toSorted((a, b) => a.timestamp.us - b.timestamp.us),
    v => `${v.realm} ${v.context.user}`,
  )
  return tx.run(sql`
    WITH author AS (
      UPDATE realm_user SET last_vlob_update = greatest(last_vlob_update, a.timestamp)
      FROM unnest((SELECT ${authors.map(a => a.realm)}::bigint[]), (SELECT ${authors.map(a => a.context.user)}::bigint[]),
        (SELECT ${authors.map(a => a.timestamp)}::timestamptz[])) AS a (realm, user_, timestamp)
      WHERE realm_user.realm = a.realm AND realm_user.user_ = a.user_
    )
    UPDATE realm SET checkpoint = r.checkpoint, vlobs_size = vlobs_size + r.size, is_untallied = TRUE
    FROM unnest((SELECT ${realms.map(r => r.realm)}::bigint[]), (SELECT ${realms.map(r => r.checkpoint)}::bigint[]),
      (SELECT ${realms.map(r => sizes.get(r.realm))}::bigint[])) AS r (_id, checkpoint, size)
    WHERE realm._id = r._id`)
}
