/** The archiving of realms (spec 05 §7). */
import { loadCertificate } from '@parsec/shared/certificates/certificate'
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import { badTimestamp } from '@parsec/shared/protocol/ballpark'
import type { DeviceID } from '@parsec/shared/protocol/types'
import type { Handlers } from '../context.ts'
import { transaction } from '../storage/transaction.ts'
import { GATES, greater, isDeleted, JOIN_CALLER, type RealmFacts } from './gates.ts'
import { lockRealmAlone } from './lock.ts'

export const archiving: Handlers<'realm_update_archiving' | 'archiving_config'> = {
  realm_update_archiving: async (ctx, { archiving_certificate }) => {
    const { organization, organization_id, user, device, device_id, verify_key } = ctx.context
    const signer = { author: device_id, verify_key }
    const loaded = loadCertificate('realm_archiving_certificate', archiving_certificate, signer)
    if (!loaded.ok) return { status: 'invalid_certification', reason: loaded.reason }
    const { realm_id, timestamp, configuration } = loaded.certificate
    const now = ctx.now()
    const late = badTimestamp(timestamp, now)
    if (late) return late
    return transaction(ctx, organization_id, async tx => {
      void lockRealmAlone(tx, organization, realm_id)
      const facts = await archivingFacts(tx, organization, realm_id, user)
      if (!facts) return { status: 'not_found' }
      if (isDeleted(facts, now)) return { status: 'realm_deleted' }
      if (facts.role !== 'OWNER') return { status: 'not_allowed' }
      const deletion_date = configuration.type === 'DELETION_PLANNED' ? configuration.deletion_date : null
      if (deletion_date?.isBefore(timestamp.plus(facts.minimum_archiving_period)))
        return { status: 'archiving_period_too_short' }
      // C7, C8
      const blocking = [facts.certified_on, facts.archived_on].find(earlier => earlier && !timestamp.isAfter(earlier))
      if (blocking) return greater(blocking)
      const { type } = configuration
      void insertArchiving(tx, {
        realm: facts.realm,
        user,
        device,
        type,
        deletion_date,
        archiving_certificate,
        timestamp,
      })
      tx.emit(
        { to: 'realm', realm_id, except: device_id },
        { event: 'realm.archiving_updated', realm_id, configuration },
      )
      return { status: 'ok' }
    })
  },

  archiving_config: async ctx => {
    const rows = await listArchiving(ctx.db, ctx.context.user)
    return {
      status: 'ok',
      archiving_config: rows.map(({ realm_id, configured_on, configured_by, type, deletion_date }) => ({
        realm_id,
        configured_on,
        configured_by,
        configuration: type === 'DELETION_PLANNED' ? { type, deletion_date: deletion_date! } : { type },
      })),
    }
  },
}

type ArchivingFacts = RealmFacts & {
  realm: number
  /** Timestamp of the newest archiving certificate. */
  archived_on: DateTime | null
  /** Seconds. */
  minimum_archiving_period: number
}

const archivingFacts = (tx: Queryable, organization: number, realm_id: Uuid, user: number) =>
  tx.one<ArchivingFacts>(sql`
    SELECT realm._id AS realm, ${GATES},
      (SELECT max(certified_on) FROM realm_archiving WHERE realm = realm._id) AS archived_on,
      organization.minimum_archiving_period
    FROM realm JOIN organization ON organization._id = realm.organization
    ${JOIN_CALLER} = ${user}
    WHERE realm.organization = ${organization} AND realm.realm_id = ${realm_id}`)

type NewArchiving = {
  realm: number
  user: number
  device: number
  type: 'AVAILABLE' | 'ARCHIVED' | 'DELETION_PLANNED'
  deletion_date: DateTime | null
  archiving_certificate: Buffer
  timestamp: DateTime
}

const insertArchiving = (tx: Queryable, a: NewArchiving) =>
  tx.run(sql`
    WITH log AS (
      INSERT INTO realm_archiving (realm, configuration, deletion_date, certificate, certifier, certified_on)
      VALUES (${a.realm}, ${a.type}, ${a.deletion_date}, ${a.archiving_certificate}, ${a.device}, ${a.timestamp})
    ), author AS (
      UPDATE realm_user SET last_archiving_change = greatest(last_archiving_change, ${a.timestamp})
      WHERE realm = ${a.realm} AND user_ = ${a.user}
    )
    UPDATE realm SET archiving = ${a.type}, deletion_date = ${a.deletion_date} WHERE _id = ${a.realm}`)

type Archiving = {
  realm_id: Uuid
  configured_on: DateTime | null
  configured_by: DeviceID | null
  type: 'AVAILABLE' | 'ARCHIVED' | 'DELETION_PLANNED'
  deletion_date: DateTime | null
}

/** The realms in which the user has a role now, deleted ones too, in order of creation. */
const listArchiving = (db: Queryable, user: number) =>
  db.all<Archiving>(sql`
    SELECT realm.realm_id, newest.certified_on AS configured_on, newest.device_id AS configured_by, realm.archiving AS type,
      realm.deletion_date
    FROM realm_user JOIN realm ON realm._id = realm_user.realm
    LEFT JOIN LATERAL (
      SELECT realm_archiving.certified_on, device.device_id
      FROM realm_archiving JOIN device ON device._id = realm_archiving.certifier
      WHERE realm_archiving.realm = realm._id ORDER BY realm_archiving.certified_on DESC LIMIT 1
    ) newest ON TRUE
    WHERE realm_user.user_ = ${user} AND realm_user.role IS NOT NULL ORDER BY realm._id`)
