/**
 * The lock of an organization, its row: it orders changes of its people, of its limit of users and of its sequester
 * services.
 */
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { OrganizationID } from '@parsec/shared/protocol/types'

/** For a change of people or of the limit. */
export const lockPeople = (tx: Queryable, organization: number) =>
  tx.run(sql`SELECT FROM organization WHERE _id = ${organization} FOR NO KEY UPDATE`)

/** The same, by name. */
export const lockPeopleOf = (tx: Queryable, organization_id: OrganizationID) =>
  tx.run(sql`SELECT FROM organization WHERE organization_id = ${organization_id} FOR NO KEY UPDATE`)

/** Keeps the services as they are, beside others that do the same and beside changes of people. */
export const keepServices = (tx: Queryable, organization: number) =>
  tx.run(sql`SELECT FROM organization WHERE _id = ${organization} FOR KEY SHARE`)

/** For a change of the services: waits for whoever keeps them. */
export const lockServices = (tx: Queryable, organization_id: OrganizationID) =>
  tx.run(sql`SELECT FROM organization WHERE organization_id = ${organization_id} FOR UPDATE`)
