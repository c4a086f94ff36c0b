/** Realms and their roles (spec 05 §6). */
import { type Certificate, loadCertificate } from '@parsec/shared/certificates/certificate'
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import { badTimestamp } from '@parsec/shared/protocol/ballpark'
import type { realm as table } from '@parsec/shared/protocol/realm'
import type { RealmRole, UserID, UserProfile } from '@parsec/shared/protocol/types'
import type { Handlers } from '../context.ts'
import { appendMessage } from '../message/inbox.ts'
import { transaction } from '../storage/transaction.ts'
import type { archiving } from './archiving.ts'
import { findRealm, GATES, greater, isDeleted, JOIN_CALLER, type RealmFacts, realmNotFound } from './gates.ts'
import { lockRealmAlone } from './lock.ts'
import { mayChangeRole, type RoleHistory, roleCausality } from './roles.ts'

export const realm: Handlers<Exclude<keyof typeof table, keyof typeof archiving>> = {
  realm_create: async (ctx, { role_certificate }) => {
    const { organization, organization_id, user, user_id, device, device_id, verify_key } = ctx.context
    const loaded = loadCertificate('realm_role_certificate', role_certificate, { author: device_id, verify_key })
    if (!loaded.ok) return { status: 'invalid_certification', reason: loaded.reason }
    const { certificate } = loaded
    const late = badTimestamp(certificate.timestamp, ctx.now())
    if (late) return late
    if (certificate.user_id !== user_id)
      return { status: 'invalid_data', reason: 'Initial realm role certificate must be self-signed.' }
    if (certificate.role !== 'OWNER')
      return { status: 'invalid_data', reason: 'Initial realm role certificate must set OWNER role.' }
    const { realm_id, timestamp } = certificate
    return transaction(ctx, organization_id, async tx => {
      const created = await insertRealm(tx, { organization, realm_id, user, device, role_certificate, timestamp })
      if (!created) return { status: 'already_exists' }
      tx.emit(
        { to: 'users', user_ids: [user_id] },
        { event: 'realm.roles_updated', realm_id, role: 'OWNER' },
        { certified_on: timestamp },
      )
      return { status: 'ok' }
    })
  },

  realm_status: async (ctx, { realm_id }) => {
    const realm = await findRealm(ctx.db, ctx.context.organization, realm_id, ctx.context.user)
    if (!realm) return realmNotFound(realm_id)
    if (realm.role === null) return { status: 'not_allowed' }
    if (isDeleted(realm, ctx.now())) return { status: 'realm_deleted' }
    const { maintenance_type, maintenance_started_on, maintenance_started_by, encryption_revision } = realm
    return {
      status: 'ok',
      in_maintenance: maintenance_type !== null,
      maintenance_type,
      maintenance_started_on,
      maintenance_started_by,
      encryption_revision,
    }
  },

  realm_stats: async (ctx, { realm_id }) => {
    const realm = await findRealm(ctx.db, ctx.context.organization, realm_id, ctx.context.user)
    if (!realm) return realmNotFound(realm_id)
    if (realm.role === null) return { status: 'not_allowed' }
    if (isDeleted(realm, ctx.now())) return { status: 'realm_deleted' }
    return { status: 'ok', ...(await sizes(ctx.db, realm.realm)) }
  },

  realm_get_role_certificates: async (ctx, { realm_id }) => {
    const realm = await findRealm(ctx.db, ctx.context.organization, realm_id, ctx.context.user)
    if (!realm) return realmNotFound(realm_id)
    if (realm.role === null) return { status: 'not_allowed' }
    const rows = await ctx.db.all<{ certificate: Buffer }>(sql`
      SELECT certificate FROM realm_role WHERE realm = ${realm.realm} ORDER BY certified_on, _id`)
    return { status: 'ok', certificates: rows.map(row => row.certificate) }
  },

  realm_update_roles: async (ctx, { role_certificate, recipient_message }) => {
    const { organization, organization_id, user, user_id, device, device_id, profile, verify_key } = ctx.context
    if (profile === 'OUTSIDER') return { status: 'not_allowed', reason: 'Outsider user cannot share realm' }
    const loaded = loadCertificate('realm_role_certificate', role_certificate, { author: device_id, verify_key })
    if (!loaded.ok) return { status: 'invalid_certification', reason: loaded.reason }
    const { certificate } = loaded
    const now = ctx.now()
    const late = badTimestamp(certificate.timestamp, now)
    if (late) return late
    if (certificate.user_id === user_id)
      return { status: 'invalid_data', reason: 'Realm role certificate cannot be self-signed.' }
    const { realm_id, role, timestamp } = certificate
    return transaction(ctx, organization_id, async tx => {
      void lockRealmAlone(tx, organization, realm_id)
      const facts = await sharing(tx, organization, certificate, user)
      if (!facts) return { status: 'not_found', reason: `User \`${certificate.user_id}\` doesn't exist` }
      if (facts.profile === 'OUTSIDER' && (role === 'MANAGER' || role === 'OWNER'))
        return { status: 'incompatible_profile', reason: 'User with OUTSIDER profile cannot be MANAGER or OWNER' }
      if (facts.realm !== null && isDeleted(facts, now)) return { status: 'realm_deleted' }
      if (facts.revoked_on !== null) return { status: 'user_revoked' }
      if (facts.realm === null) return realmNotFound(realm_id)
      if (facts.maintenance_type !== null) return { status: 'in_maintenance' }
      const target = { ...facts, role: facts.target_role, certified_on: facts.target_certified_on }
      if (!mayChangeRole(facts.role, target.role, role)) return { status: 'not_allowed' }
      if (target.role === role) return { status: 'already_granted' }
      const blocking = roleCausality(target, role, timestamp)
      if (blocking) return greater(blocking)
      void insertRole(tx, {
        realm: facts.realm,
        user: facts.user,
        role,
        role_certificate,
        device,
        timestamp,
        author: user,
      })
      tx.emit(
        { to: 'users', user_ids: [certificate.user_id] },
        { event: 'realm.roles_updated', realm_id, role },
        { certified_on: timestamp },
      )
      if (recipient_message !== null && recipient_message.length > 0)
        await appendMessage(
          tx,
          { user: facts.user, user_id: certificate.user_id },
          { sender: device_id, timestamp, body: recipient_message },
        )
      return { status: 'ok' }
    })
  },
}

/** All versions as first written, and all blocks (spec 05 §13). */
const sizes = async (db: Queryable, realm: number) =>
  (await db.one<{ blocks_size: number; vlobs_size: number }>(sql`
    SELECT (SELECT coalesce(sum(size), 0)::bigint FROM realm_blocks WHERE realm = realm._id) AS blocks_size, vlobs_size
    FROM realm WHERE _id = ${realm}`))!

/** The gates are the author's, `RoleHistory` and `target_role` the target's. */
type Sharing = RealmFacts &
  Omit<RoleHistory, 'role' | 'certified_on'> & {
    user: number
    profile: UserProfile
    revoked_on: DateTime | null
    /** Null when there is no such realm. */
    realm: number | null
    target_role: RealmRole | null
    target_certified_on: DateTime | null
  }

/** The target user with their place in the realm, and the author's; undefined when there is no such user. */
const sharing = (
  tx: Queryable,
  organization: number,
  { realm_id, user_id }: Certificate<'realm_role_certificate'>,
  author: number,
) =>
  tx.one<Sharing>(sql`
    SELECT user_._id AS user, user_.profile, user_.revoked_on, realm._id AS realm, ${GATES},
      target.role AS target_role, target.certified_on AS target_certified_on, target.last_role_change,
      target.last_vlob_update, target.last_archiving_change
    FROM user_
    LEFT JOIN realm ON realm.organization = user_.organization AND realm.realm_id = ${realm_id}
    LEFT JOIN realm_user target ON target.realm = realm._id AND target.user_ = user_._id
    ${JOIN_CALLER} = ${author}
    WHERE user_.organization = ${organization} AND user_.user_id = ${user_id satisfies UserID}`)

type NewRealm = {
  organization: number
  realm_id: Uuid
  user: number
  device: number
  role_certificate: Buffer
  timestamp: DateTime
}

/** False, and nothing written, when the organization has a realm of that id. */
const insertRealm = async (tx: Queryable, r: NewRealm): Promise<boolean> =>
  (await tx.run(sql`
    WITH created AS (
      INSERT INTO realm (organization, realm_id, created_on) VALUES (${r.organization}, ${r.realm_id}, ${r.timestamp})
      ON CONFLICT DO NOTHING RETURNING _id
    ), owner AS (
      INSERT INTO realm_user (realm, user_, role, certified_on) SELECT _id, ${r.user}, 'OWNER', ${r.timestamp} FROM created
    ), role AS (
      INSERT INTO realm_role (realm, user_, role, certificate, certifier, certified_on)
      SELECT _id, ${r.user}, 'OWNER', ${r.role_certificate}, ${r.device}, ${r.timestamp} FROM created
    )
    SELECT FROM created`)) === 1

type NewRole = {
  realm: number
  user: number
  role: RealmRole | null
  role_certificate: Buffer
  device: number
  timestamp: DateTime
  author: number
}

const insertRole = (tx: Queryable, r: NewRole) =>
  tx.run(sql`
    WITH log AS (
      INSERT INTO realm_role (realm, user_, role, certificate, certifier, certified_on)
      VALUES (${r.realm}, ${r.user}, ${r.role}, ${r.role_certificate}, ${r.device}, ${r.timestamp})
    ), author AS (
      UPDATE realm_user SET last_role_change = greatest(last_role_change, ${r.timestamp})
      WHERE realm = ${r.realm} AND user_ = ${r.author}
    )
    INSERT INTO realm_user (realm, user_, role, certified_on) VALUES (${r.realm}, ${r.user}, ${r.role}, ${r.timestamp})
    ON CONFLICT (realm, user_) DO UPDATE SET role = excluded.role, certified_on = excluded.certified_on`)
