/** Versioned blobs (spec 05 §9). */
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import { limits } from '@parsec/shared/limits'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import { badTimestamp } from '@parsec/shared/protocol/ballpark'
import type { DeviceID } from '@parsec/shared/protocol/types'
import type { vlob as table } from '@parsec/shared/protocol/vlob'
import type { Handlers } from '../context.ts'
import { noteEarly } from '../organization/tally.ts'
import {
  findRealm,
  GATES,
  greater,
  JOIN_CALLER,
  type RealmFacts,
  readAtRefusal,
  readableRevision,
  readRefusal,
  realmNotFound,
  vlobWriteRefusal,
} from '../realm/gates.ts'
import { lockRealm, lockRealmOfVlob } from '../realm/lock.ts'
import { keptServices, sequesterRefusal, storeBlobs } from '../sequester/write.ts'
import { transaction } from '../storage/transaction.ts'

export const vlob: Handlers<keyof typeof table> = {
  vlob_create: async (ctx, request) => {
    const { organization, user, device, device_id, organization_id } = ctx.context
    const { realm_id, vlob_id, encryption_revision, timestamp, blob, sequester_blob } = request
    const refusal = badTimestamp(timestamp, ctx.now()) ?? (await sequesterRefusal(ctx, sequester_blob))
    if (refusal) return refusal
    return transaction(ctx, organization_id, async tx => {
      void lockRealm(tx, organization, realm_id)
      const [services, realm] = await Promise.all([
        keptServices(tx, ctx.context, sequester_blob),
        findRealm(tx, organization, realm_id, user),
      ])
      if (!services.ok) return services.refusal
      if (!realm) return { status: 'not_allowed', reason: `Realm \`${realm_id}\` doesn't exist` }
      const refusal = vlobWriteRefusal(realm, ctx.now(), encryption_revision, timestamp)
      if (refusal) return refusal
      const checkpoint = realm.checkpoint + 1
      const vlob = await insertVlob(tx, {
        organization,
        realm: realm.realm,
        user,
        device,
        checkpoint,
        vlob_id,
        encryption_revision,
        timestamp,
        blob,
      })
      if (vlob === undefined) return { status: 'already_exists', reason: '' }
      noteEarly(tx, ctx, { realm: realm.realm, timestamp, size: blob.length })
      storeBlobs(tx, vlob, 1, services.blobs)
      tx.emit(
        { to: 'realm', realm_id, except: device_id },
        { event: 'realm.vlobs_updated', realm_id, checkpoint, src_id: vlob_id, src_version: 1 },
      )
      return { status: 'ok' }
    })
  },

  vlob_update: async (ctx, request) => {
    const { organization, user, device, device_id, organization_id } = ctx.context
    const { vlob_id, encryption_revision, timestamp, version, blob, sequester_blob } = request
    const refusal = badTimestamp(timestamp, ctx.now()) ?? (await sequesterRefusal(ctx, sequester_blob))
    if (refusal) return refusal
    return transaction(ctx, organization_id, async tx => {
      void lockRealmOfVlob(tx, organization, vlob_id)
      const [services, facts] = await Promise.all([
        keptServices(tx, ctx.context, sequester_blob),
        findVlob(tx, organization, vlob_id, user),
      ])
      if (!services.ok) return services.refusal
      if (!facts) return notFound(vlob_id)
      const refusal = vlobWriteRefusal(facts, ctx.now(), encryption_revision, timestamp)
      if (refusal) return refusal
      if (version !== facts.version + 1) return { status: 'bad_version' }
      // C2: an equal timestamp is fine
      if (timestamp.isBefore(facts.timestamp)) return greater(facts.timestamp)
      const { realm, realm_id, vlob } = facts
      const checkpoint = facts.checkpoint + 1
      void appendVersion(tx, { vlob, realm, user, device, checkpoint, encryption_revision, version, timestamp, blob })
      noteEarly(tx, ctx, { realm, timestamp, size: blob.length })
      storeBlobs(tx, vlob, version, services.blobs)
      tx.emit(
        { to: 'realm', realm_id, except: device_id },
        { event: 'realm.vlobs_updated', realm_id, checkpoint, src_id: vlob_id, src_version: version },
      )
      return { status: 'ok' }
    })
  },

  vlob_read: async (ctx, { vlob_id, encryption_revision, version, timestamp }) => {
    const { organization, user } = ctx.context
    const found = await readVersion(ctx.db, {
      organization,
      user,
      vlob_id,
      encryption_revision,
      version,
      timestamp: version === null ? timestamp : null,
    })
    if (!found) return notFound(vlob_id)
    const refusal = readAtRefusal(found, ctx.now(), encryption_revision)
    if (refusal) return refusal
    if (found.version === null) return { status: 'bad_version' }
    return {
      status: 'ok',
      version: found.version,
      blob: found.blob,
      author: found.author,
      timestamp: found.created_on,
      author_last_role_granted_on: found.author_last_role_granted_on,
    }
  },

  vlob_list_versions: async (ctx, { vlob_id }) => {
    const { organization, user } = ctx.context
    const realm = await findVlob(ctx.db, organization, vlob_id, user)
    if (!realm) return notFound(vlob_id)
    const refusal = readRefusal(realm, ctx.now())
    if (refusal) return refusal
    const atoms = await listVersions(ctx.db, realm.vlob, readableRevision(realm))
    return { status: 'ok', versions: new Map(atoms.map(atom => [atom.version, [atom.created_on, atom.author]])) }
  },

  vlob_poll_changes: async (ctx, { realm_id, last_checkpoint }) => {
    const { organization, user } = ctx.context
    const realm = await findChanges(ctx.db, organization, realm_id, user, last_checkpoint)
    if (!realm) return realmNotFound(realm_id)
    const refusal = readRefusal(realm, ctx.now())
    if (refusal) return refusal
    const { vlob_ids, versions, checkpoint } = realm
    return {
      status: 'ok',
      changes: new Map(vlob_ids?.map((vlob_id, i) => [vlob_id, versions![i]!])),
      current_checkpoint: checkpoint ?? last_checkpoint,
    }
  },
}

const notFound = (vlob_id: Uuid) => ({ status: 'not_found' as const, reason: `Vlob \`${vlob_id}\` doesn't exist` })

// Facts

type Vlob = RealmFacts & {
  vlob: number
  /** The newest, and its timestamp. */
  version: number
  timestamp: DateTime
  realm: number
  realm_id: Uuid
  checkpoint: number
}

const findVlob = (db: Queryable, organization: number, vlob_id: Uuid, user: number) =>
  db.one<Vlob>(sql`
    SELECT vlob._id AS vlob, vlob.version, vlob.timestamp, realm._id AS realm, realm.realm_id, realm.checkpoint, ${GATES}
    FROM vlob JOIN realm ON realm._id = vlob.realm ${JOIN_CALLER} = ${user}
    WHERE vlob.organization = ${organization} AND vlob.vlob_id = ${vlob_id}`)

type Found = RealmFacts & {
  version: number | null
  blob: Buffer
  created_on: DateTime
  author: DeviceID
  author_last_role_granted_on: DateTime
}

/**
 * `version`, or the newest one, or the newest up to `timestamp`, with the gates' facts; one round trip. A revision that may
 * be read has all versions, so the newest is found by its number, and the one of an instant by halves, since timestamps
 * never go back (C2): there may be thousands.
 */
const readVersion = (
  db: Queryable,
  q: {
    organization: number
    user: number
    vlob_id: Uuid
    encryption_revision: number
    version: number | null
    timestamp: DateTime | null
  },
) =>
  db.one<Found>(sql`
    SELECT ${GATES}, atom.version, atom.blob, atom.created_on, device.device_id AS author,
      (SELECT certified_on FROM realm_user WHERE realm = vlob.realm AND user_ = device.user_) AS author_last_role_granted_on
    FROM vlob JOIN realm ON realm._id = vlob.realm ${JOIN_CALLER} = ${q.user}
    LEFT JOIN vlob_atom atom ON atom.vlob = vlob._id AND atom.encryption_revision = ${q.encryption_revision}
      AND atom.version = CASE WHEN ${q.timestamp}::timestamptz IS NULL THEN coalesce(${q.version}::bigint, vlob.version)
      ELSE (
        WITH RECURSIVE halved (low, high) AS (
          SELECT 0::bigint, vlob.version
          UNION ALL
          SELECT CASE WHEN is_past THEN middle ELSE low END, CASE WHEN is_past THEN high ELSE middle - 1 END
          FROM halved CROSS JOIN LATERAL (
            SELECT past.version AS middle, past.created_on <= ${q.timestamp}::timestamptz AS is_past FROM vlob_atom past
            WHERE past.vlob = vlob._id AND past.encryption_revision = ${q.encryption_revision}
              AND past.version = (halved.low + halved.high + 1) / 2 OFFSET 0
          ) probe
          WHERE low < high
        )
        SELECT nullif(max(low), 0) FROM halved
      ) END
    LEFT JOIN device ON device._id = atom.author
    WHERE vlob.organization = ${q.organization} AND vlob.vlob_id = ${q.vlob_id}`)

/** The newest versions. Each revision that may be read has all of them, a re-encryption's copies with the same fields. */
const listVersions = (db: Queryable, vlob: number, readable_revision: number) =>
  db.all<{ version: number; created_on: DateTime; author: DeviceID }>(sql`
    SELECT version, created_on, (SELECT device_id FROM device WHERE _id = atom.author) AS author FROM vlob_atom atom
    WHERE vlob = ${vlob} AND encryption_revision = ${readable_revision}
    ORDER BY version DESC LIMIT ${limits.listed_versions.value}`)

/**
 * The realm with the vlobs that have changed since, each with its newest version and in the order of these changes. One
 * statement: what it answers is of one instant.
 */
const findChanges = (db: Queryable, organization: number, realm_id: Uuid, user: number, since: number) =>
  db.one<RealmFacts & { vlob_ids: Uuid[] | null; versions: number[] | null; checkpoint: number | null }>(sql`
    SELECT ${GATES}, news.vlob_ids, news.versions, news.checkpoint FROM realm ${JOIN_CALLER} = ${user}
    CROSS JOIN LATERAL (
      SELECT array_agg(vlob_id) AS vlob_ids, array_agg(version) AS versions, max(changed) AS checkpoint FROM (
        SELECT vlob_id, version, changed FROM vlob
        WHERE caller.role IS NOT NULL AND vlob.realm = realm._id AND changed > ${since}
        ORDER BY changed LIMIT ${limits.polled_vlobs.value}
      ) changed
    ) news
    WHERE realm.organization = ${organization} AND realm.realm_id = ${realm_id}`)

// Effects

type Version = {
  realm: number
  user: number
  device: number
  checkpoint: number
  encryption_revision: number
  timestamp: DateTime
  blob: Buffer
}

/** Writes version 1; resolves to the new vlob, or to nothing, and nothing is written, when the organization has one of that id. */
const insertVlob = async (tx: Queryable, v: Version & { organization: number; vlob_id: Uuid }) =>
  (
    await tx.one<{ vlob: number }>(sql`
    WITH created AS (
      INSERT INTO vlob (organization, vlob_id, realm, version, timestamp, changed)
      VALUES (${v.organization}, ${v.vlob_id}, ${v.realm}, 1, ${v.timestamp}, ${v.checkpoint})
      ON CONFLICT DO NOTHING RETURNING _id
    ), atom AS (
      INSERT INTO vlob_atom (vlob, encryption_revision, version, blob, size, author, created_on)
      SELECT _id, ${v.encryption_revision}, 1, ${v.blob}, ${v.blob.length}, ${v.device}, ${v.timestamp} FROM created
    ), change AS (
      INSERT INTO realm_change (realm, index, vlob, version, size)
      SELECT ${v.realm}, ${v.checkpoint}, _id, 1, ${v.blob.length} FROM created
    ), realm AS (
      UPDATE realm SET checkpoint = ${v.checkpoint}, vlobs_size = vlobs_size + ${v.blob.length}, is_untallied = TRUE
      FROM created WHERE realm._id = ${v.realm}
    ), author AS (
      UPDATE realm_user SET last_vlob_update = greatest(last_vlob_update, ${v.timestamp}) FROM created
      WHERE realm = ${v.realm} AND user_ = ${v.user}
    )
    SELECT _id AS vlob FROM created`)
  )?.vlob

const appendVersion = (tx: Queryable, v: Version & { vlob: number; version: number }) =>
  tx.run(sql`
    WITH atom AS (
      INSERT INTO vlob_atom (vlob, encryption_revision, version, blob, size, author, created_on)
      VALUES (${v.vlob}, ${v.encryption_revision}, ${v.version}, ${v.blob}, ${v.blob.length}, ${v.device}, ${v.timestamp})
    ), change AS (
      INSERT INTO realm_change (realm, index, vlob, version, size)
      VALUES (${v.realm}, ${v.checkpoint}, ${v.vlob}, ${v.version}, ${v.blob.length})
    ), realm AS (
      UPDATE realm SET checkpoint = ${v.checkpoint}, vlobs_size = vlobs_size + ${v.blob.length}, is_untallied = TRUE
      WHERE _id = ${v.realm}
    ), author AS (
      UPDATE realm_user SET last_vlob_update = greatest(last_vlob_update, ${v.timestamp})
      WHERE realm = ${v.realm} AND user_ = ${v.user}
    )
    UPDATE vlob SET version = ${v.version}, timestamp = ${v.timestamp}, changed = ${v.checkpoint} WHERE _id = ${v.vlob}`)
