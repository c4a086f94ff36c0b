/** Versioned blobs (spec 05 §9). */
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import { limits } from '@parsec/shared/limits'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import { badTimestamp } from '@parsec/shared/protocol/ballpark'
import type { DeviceID } from '@parsec/shared/protocol/types'
import type { vlob as table } from '@parsec/shared/protocol/vlob'
import type { Handlers } from '../context.ts'
import {
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
import { sequesterRefusal } from '../sequester/write.ts'

export const vlob: Handlers<keyof typeof table> = {
  vlob_create: async (ctx, request) => {
    const { realm_id, encryption_revision, timestamp, blob, sequester_blob } = request
    const refusal = badTimestamp(timestamp, ctx.now()) ?? (await sequesterRefusal(ctx, sequester_blob))
    if (refusal) return refusal
    return ctx.vlobWrites.create(ctx, request, (realm, write) => {
      if (!realm) return { status: 'not_allowed', reason: `Realm \`${realm_id}\` doesn't exist` }
      const refusal = vlobWriteRefusal(realm, ctx.now(), encryption_revision, timestamp)
      if (refusal) return refusal
      if (realm.isTaken) return { status: 'already_exists', reason: '' }
      write.create(realm, { encryption_revision, timestamp, blob })
      return { status: 'ok' }
    })
  },

  vlob_update: async (ctx, request) => {
    const { vlob_id, encryption_revision, timestamp, version, blob, sequester_blob } = request
    const refusal = badTimestamp(timestamp, ctx.now()) ?? (await sequesterRefusal(ctx, sequester_blob))
    if (refusal) return refusal
    return ctx.vlobWrites.update(ctx, request, (vlob, write) => {
      if (!vlob) return notFound(vlob_id)
      const refusal = vlobWriteRefusal(vlob, ctx.now(), encryption_revision, timestamp)
      if (refusal) return refusal
      if (version !== vlob.version + 1) return { status: 'bad_version' }
      // C2: an equal timestamp is fine
      if (timestamp.isBefore(vlob.timestamp)) return greater(vlob.timestamp)
      write.append(vlob, { encryption_revision, timestamp, blob })
      return { status: 'ok' }
    })
  },

  vlob_read: async (ctx, { vlob_id, encryption_revision, version, timestamp }) => {
    const found = await ctx.vlobReads.find(ctx, {
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

/** The newest versions. Each revision that may be read has all of them, a re-encryption's copies with the same fields. */
const listVersions = (db: Queryable, vlob: number, readable_revision: number) =>
  db.all<{ version: number; created_on: DateTime; author: DeviceID }>(sql`
    SELECT version, created_on, (SELECT device_id FROM device WHERE _id = atom.author) AS author FROM vlob_atom atom
    WHERE vlob = ${vlob} AND encryption_revision = ${readable_revision}
    ORDER BY version DESC LIMIT ${limits.listed_versions.value}`)

/**
 * The realm with the vlobs that have changed since, each with its newest version and in the order of these changes. One
 * statement: what it answers is of one instant. `(SELECT …)`: one plan, however far back.
 */
const findChanges = (db: Queryable, organization: number, realm_id: Uuid, user: number, since: number) =>
  db.one<RealmFacts & { vlob_ids: Uuid[] | null; versions: number[] | null; checkpoint: number | null }>(sql`
    SELECT ${GATES}, news.vlob_ids, news.versions, news.checkpoint FROM realm ${JOIN_CALLER} = ${user}
    CROSS JOIN LATERAL (
      SELECT array_agg(vlob_id) AS vlob_ids, array_agg(version) AS versions, max(changed) AS checkpoint FROM (
        SELECT vlob_id, version, changed FROM vlob
        WHERE caller.role IS NOT NULL AND vlob.realm = realm._id AND changed > (SELECT ${since}::bigint)
        ORDER BY changed LIMIT ${limits.polled_vlobs.value}
      ) changed
    ) news
    WHERE realm.organization = ${organization} AND realm.realm_id = ${realm_id}`)
