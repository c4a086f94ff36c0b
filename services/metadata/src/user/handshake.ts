/** What gateways ask before they let a client in (spec 01 §7.4, 02 §8.3). Reads only, but for spontaneous creation. */

import type { HumanHandle } from '@parsec/shared/codec/fields'
import type { DateTime } from '@parsec/shared/codec/values'
import { Unavailable } from '@parsec/shared/errors'
import { fragment, type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { OrganizationFacts } from '@parsec/shared/protocol/internal'
import { type Membership, type Memberships, PACKED, piecesOf } from '@parsec/shared/protocol/memberships'
import type { InvitationType, OrganizationID } from '@parsec/shared/protocol/types'
import type { Deps, InternalHandlers } from '../context.ts'
import { createOrganization } from '../organization/administration.ts'
import { isExpired } from '../organization/expiration.ts'
import { controlEvent } from '../storage/outbox.ts'
import { ORGANIZATION, type OrganizationRow } from './sessions.ts'

type Names =
  | 'session_open'
  | 'session_open_invited'
  | 'organization_find'
  | 'organization_expired'
  | 'realm_memberships'

export const sessionRequests: InternalHandlers<Names> = {
  session_open: async (ctx, { organization_id, device_id }) => {
    const row = await ctx.sessions.find(ctx, { organization_id, device_id })
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

  realm_memberships: async ({ db }, { user, packed }) => {
    const [memberships, counted] = await Promise.all([
      packed ? packedMemberships(db, user) : listedMemberships(db, user),
      db.one<{ message_count: number }>(sql`SELECT message_count FROM user_ WHERE _id = ${user}`),
    ])
    return { ...memberships, message_count: counted!.message_count }
  },
}

/** The user's key follows: `${MEMBERSHIPS} = ${user}`. */
const MEMBERSHIPS = fragment`FROM realm_user JOIN realm ON realm._id = realm_user.realm
  WHERE realm_user.role IS NOT NULL AND realm_user.user_`

async function packedMemberships(db: Queryable, user: number): Promise<Memberships> {
  const found = await db.one<{ packed: Buffer }>(sql`SELECT ${PACKED} AS packed ${MEMBERSHIPS} = ${user}`)
  return { realms: [], packed: piecesOf(found!.packed) }
}
/** For gateways of the release before. */
async function listedMemberships(db: Queryable, user: number): Promise<Memberships> {
  const realms = await db.all<Membership>(sql`
    SELECT realm.realm_id, realm_user.certified_on, realm.checkpoint + realm.steps AS place ${MEMBERSHIPS} = ${user}`)
  return { realms }
}

async function findOrganization({ db, now }: Deps, organization_id: OrganizationID) {
  const row = await db.one<OrganizationRow>(sql`
    SELECT ${ORGANIZATION} FROM organization WHERE organization_id = ${organization_id}`)
  return row && organizationFacts(row, now())
}

function organizationFacts(row: OrganizationRow, now: DateTime): OrganizationFacts {
  const { organization, is_bootstrapped, root_verify_key, is_sequestered } = row
  return { organization, is_bootstrapped, root_verify_key, is_expired: isExpired(row, now), is_sequestered }
}
