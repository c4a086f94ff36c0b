/** What commands that write versions of vlobs find, and write, in one transaction for all of them. */
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import { fragment, type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { AuthenticatedContext } from '@parsec/shared/protocol/context'
import { noteEarly } from '../organization/tally.ts'
import { CALLER_BY_KEY, GATES, JOIN_CALLER, type RealmFacts } from '../realm/gates.ts'
import type { ServiceBlob } from '../sequester/blobs.ts'
import { storeBlobs } from '../sequester/write.ts'
import { clientEvent, INTO_OUTBOX, Outbox, type OutboxEvent } from '../storage/outbox.ts'

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

/** What one command writes, and as whom. */
export class Write {
  readonly #batch: Batch
  readonly #context: AuthenticatedContext
  readonly #vlob_id: Uuid
  readonly #blobs: readonly ServiceBlob[]
  constructor(batch: Batch, context: AuthenticatedContext, vlob_id: Uuid, blobs: readonly ServiceBlob[]) {
    this.#batch = batch
    this.#context = context
    this.#vlob_id = vlob_id
    this.#blobs = blobs
  }
  /** Whether a command before it in the batch creates the vlob. */
  get isCreated(): boolean {
    return this.#batch.creates(this.#context.organization, this.#vlob_id)
  }
  /** The next version of a vlob. */
  append({ realm, realm_id, steps, vlob, version }: LockedVlob, written: NewVersion): void {
    this.#batch.add({ ...this.#common, ...written, realm, realm_id, steps, vlob, version: version + 1 })
  }
  /** A vlob with its first version. */
  create({ realm, realm_id, steps }: LockedRealm, written: NewVersion): void {
    this.#batch.add({ ...this.#common, ...written, realm, realm_id, steps, vlob: null, version: 1 })
  }
  get #common() {
    return { context: this.#context, vlob_id: this.#vlob_id, blobs: this.#blobs }
  }
}

type Version = NewVersion & {
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

/** A vlob of the same id was created elsewhere in this moment: the batch is void, and its rules must be asked again. */
export class Taken extends Error {}

/** What a transaction will write. */
export class Batch {
  readonly events: OutboxEvent[] = []
  readonly #versions: (Version & { checkpoint: number })[] = []
  /** What the versions so far change: by realm, by vlob, and by organization and vlob. */
  readonly #checkpoints = new Map<number, number>()
  readonly #newest = new Map<number, { version: number; timestamp: DateTime }>()
  readonly #created = new Set<string>()

  get isEmpty(): boolean {
    return this.#versions.length === 0
  }
  creates(organization: number, vlob_id: Uuid): boolean {
    return this.#created.has(`${organization} ${vlob_id.hex}`)
  }
  /** A place as those before have left it. */
  asLeft<P extends Place>(place: P): P {
    const checkpoint = this.#checkpoints.get(place.realm) ?? place.checkpoint
    this.#checkpoints.set(place.realm, checkpoint)
    const { version, timestamp } = (place.vlob !== null && this.#newest.get(place.vlob)) || place
    return { ...place, checkpoint, version, timestamp }
  }
  add(version: Version): void {
    const { context, realm, realm_id, steps, vlob, vlob_id, timestamp } = version
    const checkpoint = this.#checkpoints.get(realm)! + 1
    this.#checkpoints.set(realm, checkpoint)
    if (vlob === null) this.#created.add(`${context.organization} ${vlob_id.hex}`)
    else this.#newest.set(vlob, { version: version.version, timestamp })
    this.#versions.push({ ...version, checkpoint })
    const fields = {
      event: 'realm.vlobs_updated',
      realm_id,
      checkpoint,
      src_id: vlob_id,
      src_version: version.version,
    } as const
    const recipients = { to: 'realm', realm_id, except: context.device_id } as const
    this.events.push(clientEvent(context.organization_id, recipients, fields, { place: checkpoint + steps }))
  }

  /** Sends all of it; `rows`: those of the events in the outbox, which nobody needs to wait for before the commit. */
  async write(tx: Queryable, now: DateTime): Promise<{ rows: Promise<{ _id: number }[]> }> {
    const [created, appended] = [this.#versions.filter(isFirst), this.#versions.filter(isLater)]
    for (const { vlob, version, blobs } of appended) storeBlobs(tx, vlob, version, blobs)
    noteEarly(tx, now, this.#versions.map(sizeOf))
    const [only] = appended
    if (only && this.#versions.length === 1) return { rows: appendVersion(tx, only, this.events[0]!) }
    if (appended.length > 0) void appendVersions(tx, appended)
    void advance(tx, this.#versions)
    if (created.length > 0) await this.#create(tx, created)
    return { rows: Outbox.insert(tx, this.events) }
  }
  async #create(tx: Queryable, created: readonly Ordered[]): Promise<void> {
    const vlobs = await createVlobs(tx, created)
    if (vlobs.length < created.length) throw new Taken()
    for (const { vlob_id, blobs } of created)
      if (blobs.length > 0) storeBlobs(tx, vlobs.find(vlob => vlob.vlob_id.equals(vlob_id))!.vlob, 1, blobs)
  }
}

type Ordered = Version & { checkpoint: number }
const isFirst = (version: Ordered): version is Ordered & { vlob: null } => version.vlob === null
const isLater = (version: Ordered): version is Ordered & { vlob: number } => version.vlob !== null

const sizeOf = ({ context, realm, timestamp, blob }: Version) => ({
  organization: context.organization,
  realm,
  timestamp,
  size: blob.length,
})

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
const appendVersion = (tx: Queryable, v: Ordered & { vlob: number }, { subject, event }: OutboxEvent) =>
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

const appendVersions = (tx: Queryable, versions: readonly (Ordered & { vlob: number })[]) => {
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
const createVlobs = (tx: Queryable, versions: readonly Ordered[]) =>
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
const advance = (tx: Queryable, versions: readonly Ordered[]) => {
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
