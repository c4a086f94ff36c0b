/** What gateways ask before they let a client in (spec 01 §7.4, 02 §8.3). Reads only, but for spontaneous creation. */

import type { HumanHandle } from '@parsec/shared/codec/fields'
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import { Unavailable } from '@parsec/shared/errors'
import { fragment, sql } from '@parsec/shared/postgres/sql'
import type { DeviceFacts, OrganizationFacts } from '@parsec/shared/protocol/internal'
import type { InvitationType, OrganizationID } from '@parsec/shared/protocol/types'
import type { Deps, InternalHandlers } from '../context.ts'
import { createOrganization } from '../organization/administration.ts'
import { EXPIRATION, type Expiration, isExpired } from '../organization/expiration.ts'
import { controlEvent } from '../storage/outbox.ts'

type Names =
  | 'session_open'
  | 'session_open_invited'
  | 'organization_find'
  | 'organization_expired'
  | 'realm_memberships'

export const sessionRequests: InternalHandlers<Names> = {
  session_open: async (ctx, { organization_id, device_id }) => {
    const row = await ctx.db.one<
      OrganizationRow & DeviceFacts & { device: number | null; email: string | null; label: string | null }
    >(sql`
      SELECT ${ORGANIZATION}, user_._id AS user, user_.user_id, user_.profile, user_.revoked_on, user_.frozen AS is_frozen,
        device._id AS device, device.device_id, device.verify_key, human.email, human.label
      FROM organization
      LEFT JOIN device ON device.organization = organization._id AND device.device_id = ${device_id}
      LEFT JOIN user_ ON user_._id = device.user_
      LEFT JOIN human ON human._id = user_.human
      WHERE organization.organization_id = ${organization_id}`)
    if (!row) return { organization: null, device: null }
    const { user, device, user_id, profile, verify_key, is_frozen, email, label, revoked_on } = row
    return {
      organization: organizationFacts(row, ctx.now()),
      device:
        device === null
          ? null
          : {
              user,
              device,
              user_id,
              device_id: row.device_id,
              profile,
              human_handle: email === null || label === null ? null : ([email, label] satisfies HumanHandle),
              verify_key,
              revoked_on,
              is_frozen,
            },
    }
  },

  session_open_invited: async (ctx, { organization_id, token }) => {
    const organization = await findOrganization(ctx, organization_id)
    if (!organization) return { organization: null, invitation: null }
    const invitation = await ctx.db.one<{ type: InvitationType; is_deleted: boolean }>(sql`
      SELECT type, deleted_on IS NOT NULL AS is_deleted FROM invitation
      WHERE organization = ${organization.organization} AND token = ${token}`)
    return { organization, invitation: invitation ?? null }
  },

  organization_find: async (ctx, { organization_id, create }) => {
    const spontaneous = ctx.config.spontaneousOrganizationBootstrap
    let organization = await findOrganization(ctx, organization_id)
    if (!organization && create && spontaneous) {
      await createOrganization(ctx, organization_id, { bootstrap_token: '', onlyNew: true })
      organization = await findOrganization(ctx, organization_id)
      if (!organization) throw new Unavailable('the organization is gone')
    }
    return { organization: organization ?? null, spontaneous }
  },

  organization_expired: async ({ outbox }, { organization_id }) => {
    outbox.publishTransient(controlEvent(organization_id, { control: 'organization.expired' }))
    return {}
  },

  realm_memberships: async ({ db }, { user }) => {
    const [realms, counted] = await Promise.all([
      db.all<{ realm_id: Uuid; certified_on: DateTime; checkpoint: number }>(sql`
        SELECT realm.realm_id, realm_user.certified_on, realm.checkpoint
        FROM realm_user JOIN realm ON realm._id = realm_user.realm
        WHERE realm_user.user_ = ${user} AND realm_user.role IS NOT NULL`),
      db.one<{ message_count: number }>(sql`SELECT message_count FROM user_ WHERE _id = ${user}`),
    ])
    return { realms, message_count: counted!.message_count }
  },
}

async function findOrganization({ db, now }: Deps, organization_id: OrganizationID) {
  const row = await db.one<OrganizationRow>(sql`
    SELECT ${ORGANIZATION} FROM organization WHERE organization_id = ${organization_id}`)
  return row && organizationFacts(row, now())
}

type OrganizationRow = Omit<OrganizationFacts, 'is_expired'> & Expiration

const ORGANIZATION = fragment`organization._id AS organization, organization.root_verify_key IS NOT NULL AS is_bootstrapped,
  organization.root_verify_key, organization.sequester_authority_certificate IS NOT NULL AS is_sequestered, ${EXPIRATION}`

function organizationFacts(row: OrganizationRow, now: DateTime): OrganizationFacts {
  const { organization, is_bootstrapped, root_verify_key, is_sequestered } = row
  return { organization, is_bootstrapped, root_verify_key, is_expired: isExpired(row, now), is_sequestered }
}
