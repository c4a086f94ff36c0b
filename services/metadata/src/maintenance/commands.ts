/** Re-encryption of a realm (spec 05 §8): the revision goes up at the start, old data stays readable until the end. */
import { maxClientMessage } from '@parsec/shared/bus/rpc'
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import { limits } from '@parsec/shared/limits'
import { fragment, type Queryable, sql } from '@parsec/shared/postgres/sql'
import { badTimestamp } from '@parsec/shared/protocol/ballpark'
import type { maintenance as table } from '@parsec/shared/protocol/maintenance'
import type { UserID } from '@parsec/shared/protocol/types'
import { mismatchStatus } from '@parsec/shared/protocol/versions'
import type { Handlers } from '../context.ts'
import { appendMessage } from '../message/inbox.ts'
import { findRealm, isDeleted, type Realm, type RealmFacts, realmNotFound } from '../realm/gates.ts'
import { lockRealm, lockRealmAlone } from '../realm/lock.ts'
import { transaction } from '../storage/transaction.ts'

export const maintenance: Handlers<keyof typeof table> = {
  realm_start_reencryption_maintenance: (ctx, request) =>
    transaction(ctx, ctx.context.organization_id, async tx => {
      const { organization, user, device_id, release } = ctx.context
      const { realm_id, encryption_revision, timestamp, per_participant_message } = request
      const now = ctx.now()
      const late = badTimestamp(timestamp, now)
      if (late) return late
      void lockRealmAlone(tx, organization, realm_id)
      const realm = await findRealm(tx, organization, realm_id, user)
      if (!realm) return realmNotFound(realm_id)
      if (realm.maintenance_type !== null) return { status: 'in_maintenance' }
      if (encryption_revision !== realm.encryption_revision + 1) return { status: 'bad_encryption_revision' }
      if (realm.role !== 'OWNER') return { status: 'not_allowed' }
      if (isDeleted(realm, now)) return { status: 'realm_deleted' }
      const participants = await activeParticipants(tx, realm.realm)
      const bodies = new Map(per_participant_message)
      if (bodies.size !== participants.length || participants.some(p => !bodies.has(p.user_id)))
        return { status: mismatchStatus(release), reason: 'Realm participants and message recipients mismatch' }
      void tx.run(sql`
        UPDATE realm SET encryption_revision = ${encryption_revision}, maintenance_type = 'REENCRYPTION', reencrypted = 0,
          reencrypted_up_to = 0, maintenance_started_on = ${timestamp}, maintenance_started_by = ${device_id}
        WHERE _id = ${realm.realm}`)
      tx.emit(
        { to: 'realm', realm_id, except: device_id },
        { event: 'realm.maintenance_started', realm_id, encryption_revision },
      )
      // In the order of the database's keys, so that two re-encryptions never wait for each other.
      for (const { user: recipient, user_id } of participants)
        await appendMessage(
          tx,
          { user: recipient, user_id },
          { sender: device_id, timestamp, body: bodies.get(user_id)! },
        )
      return { status: 'ok' }
    }),

  vlob_maintenance_get_reencryption_batch: async (ctx, { realm_id, encryption_revision, size }) => {
    const realm = await findRealm(ctx.db, ctx.context.organization, realm_id, ctx.context.user)
    if (!realm) return realmNotFound(realm_id)
    const refusal = batchRefusal(realm, realm_id, ctx.now(), encryption_revision)
    if (refusal) return refusal
    const budget = Math.min(limits.reencryption_batch_bytes.value, maxClientMessage(ctx.bus) - MESSAGE_OVERHEAD_BYTES)
    return { status: 'ok', batch: await work(ctx.db, realm, size, budget) }
  },

  vlob_maintenance_save_reencryption_batch: (ctx, { realm_id, encryption_revision, batch }) =>
    transaction(ctx, ctx.context.organization_id, async tx => {
      void lockRealm(tx, ctx.context.organization, realm_id)
      const realm = await findRealm(tx, ctx.context.organization, realm_id, ctx.context.user)
      if (!realm) return realmNotFound(realm_id)
      const refusal = batchRefusal(realm, realm_id, ctx.now(), encryption_revision)
      if (refusal) return refusal
      if (batch.length === 0) return { status: 'ok', total: versions(realm), done: realm.reencrypted }
      const [progress] = await Promise.all([saveCopies(tx, ctx.context.organization, realm, batch), goOn(tx, realm)])
      return { status: 'ok', ...progress! }
    }),

  realm_finish_reencryption_maintenance: (ctx, { realm_id, encryption_revision }) =>
    transaction(ctx, ctx.context.organization_id, async tx => {
      const { organization, user, device_id } = ctx.context
      void lockRealmAlone(tx, organization, realm_id)
      const realm = await findRealm(tx, organization, realm_id, user)
      if (!realm) return realmNotFound(realm_id)
      if (realm.role !== 'OWNER') return { status: 'not_allowed' }
      if (isDeleted(realm, ctx.now())) return { status: 'realm_deleted' }
      if (realm.maintenance_type !== 'REENCRYPTION') return notInMaintenance(realm_id)
      if (encryption_revision !== realm.encryption_revision) return { status: 'bad_encryption_revision' }
      if (realm.reencrypted !== versions(realm))
        return { status: 'maintenance_error', reason: 'Reencryption operations are not over' }
      void tx.run(sql`
        UPDATE realm SET maintenance_type = NULL, maintenance_started_on = NULL, maintenance_started_by = NULL
        WHERE _id = ${realm.realm}`)
      tx.emit(
        { to: 'realm', realm_id, except: device_id },
        { event: 'realm.maintenance_finished', realm_id, encryption_revision },
      )
      return { status: 'ok' }
    }),
}

/** How many a realm has: one for each change. */
const versions = ({ checkpoint, gaps }: Realm): number => checkpoint - gaps

const notInMaintenance = (realm_id: Uuid) => ({
  status: 'not_in_maintenance' as const,
  reason: `Realm \`${realm_id}\` not under maintenance`,
})

/** MAINT column of the gates. */
function batchRefusal(realm: RealmFacts, realm_id: Uuid, now: DateTime, revision: number) {
  if (isDeleted(realm, now)) return { status: 'realm_deleted' as const }
  if (realm.maintenance_type !== 'REENCRYPTION') return notInMaintenance(realm_id)
  if (revision !== realm.encryption_revision) return { status: 'bad_encryption_revision' as const }
  if (realm.role !== 'OWNER') return { status: 'not_allowed' as const }
  return undefined
}

/** Users with a role who are not revoked, the frozen included. */
const activeParticipants = (tx: Queryable, realm: number) =>
  tx.all<{ user: number; user_id: UserID }>(sql`
    SELECT user_._id AS user, user_.user_id FROM realm_user JOIN user_ ON user_._id = realm_user.user_
    WHERE realm_user.realm = ${realm} AND realm_user.role IS NOT NULL AND user_.revoked_on IS NULL ORDER BY user_._id`)

/**
 * Every version of a realm is one of its changes, and nothing is written during a re-encryption: its work is the change
 * log, from where all before is saved. What clients were given they save, so there is little behind that place that is
 * saved too; whoever saves in another order makes these steps longer, hence the window.
 */
const WINDOW = 50_000
/**
 * Whether `change` is to be encrypted again for `next.revision`. The log of a realm that was taken over may have changes
 * without their version at the readable revision: nobody can encrypt them.
 */
const IS_WORK = fragment`(
    SELECT TRUE FROM vlob_atom copy
    WHERE copy.vlob = change.vlob AND copy.encryption_revision = next.revision AND copy.version = change.version
  ) IS NULL AND (
    SELECT TRUE FROM vlob_atom readable
    WHERE readable.vlob = change.vlob AND readable.encryption_revision = next.revision - 1
      AND readable.version = change.version
  )`
/** Most bytes of an item besides its blob, here and in the client's answer. */
const ITEM_OVERHEAD_BYTES = 64
const MESSAGE_OVERHEAD_BYTES = 1024

type Item = { vlob_id: Uuid; version: number; blob: Buffer }

/** Up to `size` versions that are not saved yet, as many as `budget` bytes hold but at least one; none when all are. */
async function work(db: Queryable, realm: Realm, size: number, budget: number): Promise<Item[]> {
  if (size === 0) return []
  for (let from = realm.reencrypted_up_to; from < realm.checkpoint; from += WINDOW) {
    const items = await unsaved(db, realm, from, size, budget)
    if (items.length > 0) return items
  }
  return []
}

/** Blobs are measured first, and only those that are answered are read. */
const unsaved = (db: Queryable, realm: Realm, from: number, size: number, budget: number) =>
  db.all<Item>(sql`
    SELECT (SELECT vlob_id FROM vlob WHERE _id = item.vlob) AS vlob_id, item.version, item.blob FROM (
      SELECT change.vlob, change.version, atom.blob, change.place,
        sum(atom.size + ${ITEM_OVERHEAD_BYTES}) OVER (ORDER BY change.place) AS bytes
      FROM (
        SELECT vlob, version, row_number() OVER (ORDER BY index) AS place FROM (
          SELECT index, vlob, version FROM realm_change change, (SELECT ${realm.encryption_revision}::bigint AS revision) next
          WHERE realm = ${realm.realm} AND index > ${from} AND index <= ${from + WINDOW} AND ${IS_WORK}
          ORDER BY index LIMIT ${size}
        ) missing
      ) change
      CROSS JOIN LATERAL (
        SELECT blob, size FROM vlob_atom
        WHERE vlob = change.vlob AND encryption_revision = ${realm.encryption_revision - 1} AND version = change.version
        OFFSET 0
      ) atom
    ) item
    WHERE item.bytes <= ${budget} OR item.place = 1 ORDER BY item.place`)

/** Author and timestamp stay those of the original; what is unknown or already saved is left alone. */
const saveCopies = (tx: Queryable, organization: number, realm: Realm, batch: readonly Item[]) =>
  tx.one<{ total: number; done: number }>(sql`
    WITH saved AS (
      INSERT INTO vlob_atom (vlob, encryption_revision, version, blob, size, author, created_on)
      SELECT vlob._id, ${realm.encryption_revision}, atom.version, item.blob, length(item.blob), atom.author, atom.created_on
      FROM unnest(${batch.map(item => item.vlob_id.hex)}::uuid[], ${batch.map(item => item.version)}::bigint[],
        ${batch.map(item => item.blob)}::bytea[]) WITH ORDINALITY AS item (vlob_id, version, blob, place)
      CROSS JOIN LATERAL (
        SELECT _id FROM vlob WHERE organization = ${organization} AND vlob_id = item.vlob_id AND realm = ${realm.realm}
        OFFSET 0
      ) vlob
      CROSS JOIN LATERAL (
        SELECT version, author, created_on FROM vlob_atom
        WHERE vlob = vlob._id AND encryption_revision = ${realm.encryption_revision - 1} AND version = item.version
        OFFSET 0
      ) atom
      ORDER BY item.place
      ON CONFLICT DO NOTHING RETURNING size, created_on
    ), early AS (
      INSERT INTO early_version (organization, realm, size, created_on)
      SELECT ${organization}, ${realm.realm}, size, created_on FROM saved WHERE created_on > now()
    )
    UPDATE realm SET reencrypted = reencrypted + saved.count, copies_size = copies_size + saved.size, is_untallied = TRUE
    FROM (SELECT count(*) AS count, coalesce(sum(size), 0)::bigint AS size FROM saved) saved
    WHERE realm._id = ${realm.realm} RETURNING realm.checkpoint - realm.gaps AS total, realm.reencrypted AS done`)

/** Moves the place from which on there is work. */
const goOn = (tx: Queryable, { realm, encryption_revision, reencrypted_up_to, checkpoint }: Realm) =>
  tx.run(sql`
    UPDATE realm SET reencrypted_up_to = coalesce((
      SELECT index - 1 FROM realm_change change, (SELECT ${encryption_revision}::bigint AS revision) next
      WHERE realm = ${realm} AND index > ${reencrypted_up_to} AND index <= ${reencrypted_up_to + WINDOW} AND ${IS_WORK}
      ORDER BY index LIMIT 1
    ), ${Math.min(reencrypted_up_to + WINDOW, checkpoint)})
    WHERE _id = ${realm}`)
