/** Re-encryption of a realm (spec 05 §8): the revision goes up at the start, old data stays readable until the end. */
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import { badTimestamp } from '@parsec/shared/protocol/ballpark'
import type { maintenance as table } from '@parsec/shared/protocol/maintenance'
import type { UserID } from '@parsec/shared/protocol/types'
import { mismatchStatus } from '@parsec/shared/protocol/versions'
import type { Handlers } from '../context.ts'
import { appendMessage } from '../message/inbox.ts'
import { findRealm, isDeleted, type RealmFacts, realmNotFound } from '../realm/gates.ts'
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
        UPDATE realm SET encryption_revision = ${encryption_revision}, maintenance_type = 'REENCRYPTION',
          maintenance_started_on = ${timestamp}, maintenance_started_by = ${device_id} WHERE _id = ${realm.realm}`)
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
    return { status: 'ok', batch: await missingCopies(ctx.db, realm.realm, encryption_revision, size) }
  },

  vlob_maintenance_save_reencryption_batch: (ctx, { realm_id, encryption_revision, batch }) =>
    transaction(ctx, ctx.context.organization_id, async tx => {
      void lockRealm(tx, ctx.context.organization, realm_id)
      const realm = await findRealm(tx, ctx.context.organization, realm_id, ctx.context.user)
      if (!realm) return realmNotFound(realm_id)
      const refusal = batchRefusal(realm, realm_id, ctx.now(), encryption_revision)
      if (refusal) return refusal
      if (batch.length > 0) void saveCopies(tx, realm.realm, encryption_revision, batch)
      return { status: 'ok', ...(await countCopies(tx, realm.realm, encryption_revision)) }
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
      const { total, done } = await countCopies(tx, realm.realm, encryption_revision)
      if (done !== total) return { status: 'maintenance_error', reason: 'Reencryption operations are not over' }
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

const missingCopies = (db: Queryable, realm: number, revision: number, size: number) =>
  db.all<{ vlob_id: Uuid; version: number; blob: Buffer }>(sql`
    SELECT vlob.vlob_id, atom.version, atom.blob FROM vlob JOIN vlob_atom atom ON atom.vlob = vlob._id
    WHERE vlob.realm = ${realm} AND atom.encryption_revision = ${revision - 1} AND NOT EXISTS (
      SELECT FROM vlob_atom copy
      WHERE copy.vlob = atom.vlob AND copy.encryption_revision = ${revision} AND copy.version = atom.version)
    ORDER BY vlob._id, atom.version LIMIT ${size}`)

/** Author and timestamp stay those of the original; what is unknown or already saved is left alone. */
const saveCopies = (
  tx: Queryable,
  realm: number,
  revision: number,
  batch: { vlob_id: Uuid; version: number; blob: Buffer }[],
) =>
  tx.run(sql`
    INSERT INTO vlob_atom (vlob, encryption_revision, version, blob, size, author, created_on)
    SELECT atom.vlob, ${revision}, atom.version, item.blob, length(item.blob), atom.author, atom.created_on
    FROM unnest(${batch.map(item => item.vlob_id.hex)}::uuid[], ${batch.map(item => item.version)}::bigint[],
      ${batch.map(item => item.blob)}::bytea[]) WITH ORDINALITY AS item (vlob_id, version, blob, place)
    JOIN vlob ON vlob.realm = ${realm} AND vlob.vlob_id = item.vlob_id
    JOIN vlob_atom atom ON atom.vlob = vlob._id AND atom.encryption_revision = ${revision - 1} AND atom.version = item.version
    ORDER BY item.place
    ON CONFLICT DO NOTHING`)

const countCopies = async (tx: Queryable, realm: number, revision: number) =>
  (await tx.one<{ total: number; done: number }>(sql`
    SELECT count(*) FILTER (WHERE atom.encryption_revision = ${revision - 1}) AS total,
      count(*) FILTER (WHERE atom.encryption_revision = ${revision}) AS done
    FROM vlob JOIN vlob_atom atom ON atom.vlob = vlob._id WHERE vlob.realm = ${realm}`))!
