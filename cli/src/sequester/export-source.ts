/**
 * What an export of a realm holds (spec 05 §14.5), read in pages in the order of growing keys: a page that starts after
 * the last key of the former neither skips nor repeats a row.
 */
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import { OperatorError } from '@parsec/shared/errors'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import { findSequestered, noService } from './services.ts'

export type ExportScope = { organization: number; root_verify_key: Buffer; realm: number; service: number }
export type ExportedUser = { _id: number; user_certificate: Buffer; revoked_user_certificate: Buffer | null }
export type ExportedDevice = { _id: number; device_certificate: Buffer }
export type ExportedRole = { _id: number; role_certificate: Buffer }
/** `_id`: index of the change; `blob`: what the service was given; `author`: the device's `_id`. */
export type ExportedVlob = {
  _id: number
  vlob_id: Uuid
  version: number
  blob: Buffer
  author: number
  timestamp: DateTime
}
export type ExportedBlock = {
  _id: number
  block_id: Uuid
  author: number
  size: number
  missedNodes: readonly number[]
}

/** Throws `OperatorError`: organization unknown or not sequestered, realm unknown, service unknown, no STORAGE service. */
export async function exportScope(
  db: Queryable,
  { organization_id, realm_id, service_id }: { organization_id: OrganizationID; realm_id: Uuid; service_id: Uuid },
): Promise<ExportScope> {
  const { organization, root_verify_key } = await findSequestered(db, organization_id)
  const realm = await db.one<{ realm: number }>(sql`
    SELECT _id AS realm FROM realm WHERE organization = ${organization} AND realm_id = ${realm_id}`)
  if (!realm) throw new OperatorError(`Realm ${realm_id} does not exist`)
  const service = await db.one<{ service: number; type: string }>(sql`
    SELECT _id AS service, type FROM sequester_service
    WHERE organization = ${organization} AND service_id = ${service_id}`)
  if (!service) throw noService(service_id)
  if (service.type !== 'STORAGE')
    throw new OperatorError(`Sequester service ${service_id} is a webhook: the server keeps nothing for it`)
  return { organization, root_verify_key, realm: realm.realm, service: service.service }
}

/** All users, since a later revocation changes an earlier row. */
export const exportedUsers = (db: Queryable, { organization }: ExportScope) =>
  db.all<ExportedUser>(sql`
    SELECT _id, user_certificate, revoked_user_certificate FROM user_
    WHERE organization = ${organization} ORDER BY _id`)

export const exportedDevices = (db: Queryable, { organization }: ExportScope) =>
  db.all<ExportedDevice>(sql`
    SELECT _id, device_certificate FROM device WHERE organization = ${organization} ORDER BY _id`)

export const exportedRoles = (db: Queryable, { realm }: ExportScope) =>
  db.all<ExportedRole>(sql`
    SELECT _id, certificate AS role_certificate FROM realm_role WHERE realm = ${realm} ORDER BY _id`)

/** Index of the realm's newest change: changes up to it can no longer appear. */
export const newestChange = async (db: Queryable, { realm }: ExportScope): Promise<number> =>
  (await db.one<{ checkpoint: number }>(sql`SELECT checkpoint FROM realm WHERE _id = ${realm}`))!.checkpoint

/**
 * Versions among the `count` changes after `after`. Author and timestamp are the same in the copies of a re-encryption; what
 * was taken over may have a version that was lost and written again, at a later revision.
 */
export const exportedVlobs = (db: Queryable, { realm, service }: ExportScope, after: number, count: number) =>
  db.all<ExportedVlob>(sql`
    SELECT change.index AS _id, vlob.vlob_id, change.version, given.blob, atom.author, atom.created_on AS timestamp
    FROM realm_change change
    JOIN sequester_blob given ON given.service = ${service} AND given.vlob = change.vlob AND given.version = change.version
    JOIN vlob ON vlob._id = change.vlob
    CROSS JOIN LATERAL (
      SELECT author, created_on FROM vlob_atom
      WHERE vlob_atom.vlob = change.vlob AND vlob_atom.version = change.version
      ORDER BY encryption_revision DESC LIMIT 1
    ) atom
    WHERE change.realm = ${realm} AND change.index > ${after} AND change.index <= ${after + count}
    ORDER BY change.index`)

/** How many blocks there are up to now. */
export const countBlocks = async (db: Queryable, { realm }: ExportScope): Promise<number> =>
  (await db.one<{ count: number }>(sql`SELECT count(*) AS count FROM block WHERE realm = ${realm}`))!.count

/** The next `count` blocks after the one of key `after`. */
export const exportedBlocks = (db: Queryable, { realm }: ExportScope, after: number, count: number) =>
  db.all<ExportedBlock>(sql`
    SELECT _id, block_id, author, size, coalesce(missed_nodes, '{}') AS "missedNodes" FROM block
    WHERE realm = ${realm} AND _id > ${after} ORDER BY _id LIMIT ${count}`)
