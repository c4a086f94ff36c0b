/** Sequester services as the operator manages them (spec 05 §14.2); clients only see the enabled ones. */

import { lockServices } from '@parsec/metadata/organization/lock'
import type { SequesterServiceType } from '@parsec/metadata/sequester/blobs'
import { loadServiceCertificate, publicKeyFromDer } from '@parsec/shared/certificates/sequester'
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import { OperatorError } from '@parsec/shared/errors'
import type { Database } from '@parsec/shared/postgres/database'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { OrganizationID } from '@parsec/shared/protocol/types'

export type { SequesterServiceType }
export type SequesterService = {
  service_id: Uuid
  service_label: string
  type: SequesterServiceType
  webhook_url: string | null
  created_on: DateTime
  disabled_on: DateTime | null
}
export type NewSequesterService = { certificate: Buffer; type: SequesterServiceType; webhook_url: string | null }

/**
 * Adds an enabled service; every write that begins after the return is checked against it. Throws `OperatorError`, in
 * this order: organization unknown, not bootstrapped, not sequestered; certificate not by its authority; id used before.
 */
export async function addService(db: Database, id: OrganizationID, service: NewSequesterService): Promise<Uuid> {
  return db.transaction(async tx => {
    const { organization, authority } = await lockSequestered(tx, id)
    const fields = loadServiceCertificate(authority, service.certificate)
    if (!fields) throw new OperatorError('The service certificate is not signed by the authority of the organization')
    const { service_id, service_label, timestamp } = fields
    const created = await tx.run(sql`
      INSERT INTO sequester_service
        (organization, service_id, service_label, certificate, type, webhook_url, created_on)
      VALUES (${organization}, ${service_id}, ${service_label}, ${service.certificate}, ${service.type},
        ${service.webhook_url}, ${timestamp})
      ON CONFLICT DO NOTHING`)
    if (created === 0) throw new OperatorError(`Sequester service ${service_id} already exists`)
    return service_id
  })
}

/** Enables or disables a service. Throws `OperatorError` when there is none, or it is so already. */
export async function setServiceEnabled(
  db: Database,
  id: OrganizationID,
  service_id: Uuid,
  { enabled, now }: { enabled: boolean; now: DateTime },
): Promise<void> {
  await db.transaction(async tx => {
    const { organization } = await lockSequestered(tx, id)
    const found = await tx.one<{ service: number; disabled_on: DateTime | null }>(sql`
      SELECT _id AS service, disabled_on FROM sequester_service
      WHERE organization = ${organization} AND service_id = ${service_id}`)
    if (!found) throw noService(service_id)
    if (enabled === (found.disabled_on === null))
      throw new OperatorError(`Sequester service ${service_id} is already ${enabled ? 'enabled' : 'disabled'}`)
    await tx.run(sql`UPDATE sequester_service SET disabled_on = ${enabled ? null : now} WHERE _id = ${found.service}`)
  })
}

/** All services, in the order of their creation. Throws `OperatorError`. */
export async function listServices(db: Database, id: OrganizationID): Promise<SequesterService[]> {
  const { organization } = await findSequestered(db, id)
  return db.all<SequesterService>(sql`
    SELECT service_id, service_label, type, webhook_url, created_on, disabled_on FROM sequester_service
    WHERE organization = ${organization} ORDER BY _id`)
}

export const noService = (service_id: Uuid) => new OperatorError(`Sequester service ${service_id} does not exist`)

/** A sequestered organization. Throws `OperatorError` when it is none. */
export async function findSequestered(db: Queryable, id: OrganizationID) {
  const found = await db.one<{
    organization: number
    root_verify_key: Buffer | null
    sequester_verify_key_der: Buffer | null
  }>(sql`
    SELECT _id AS organization, root_verify_key, sequester_verify_key_der
    FROM organization WHERE organization_id = ${id}`)
  if (!found) throw new OperatorError(`Organization ${id} does not exist`)
  const { organization, root_verify_key, sequester_verify_key_der } = found
  if (root_verify_key === null) throw new OperatorError(`Organization ${id} is not bootstrapped`)
  const authority = sequester_verify_key_der && publicKeyFromDer(sequester_verify_key_der)
  if (!authority) throw new OperatorError(`Organization ${id} is not sequestered`)
  return { organization, root_verify_key, authority }
}

/** Waits for the vlob writes that were checked before, and lets no other be checked before the commit. */
async function lockSequestered(tx: Queryable, id: OrganizationID) {
  await lockServices(tx, id)
  return findSequestered(tx, id)
}
