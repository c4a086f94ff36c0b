/** What the administration service asks for beside the compatible requests of `organization/administration.ts`. */
import { sql } from '@parsec/shared/postgres/sql'
import type { InternalName } from '@parsec/shared/protocol/internal'
import type { InternalHandlers } from '../context.ts'
import { bootstrapLink } from '../organization/administration.ts'
import { history, serverFigures } from './figures.ts'
import { listOrganizations, showOrganization } from './organizations.ts'
import { freezeUser, listDevices, listUsers, showUser } from './people.ts'
import { noteSeen } from './seen.ts'
import { realmUsage, userUsage } from './usage.ts'

export const adminRequests: InternalHandlers<Extract<InternalName, `admin_${string}`> | 'devices_seen'> = {
  admin_organizations: ({ db, now }, request) => listOrganizations(db, request, now()),
  admin_organization: async ({ db, now }, { organization_id }) => {
    const organization = await showOrganization(db, organization_id, now())
    return organization ? { status: 'ok', organization } : { status: 'not_found' }
  },
  admin_bootstrap: async (ctx, { organization_id }) => {
    const found = await ctx.db.one<{ bootstrap_token: string; is_bootstrapped: boolean }>(sql`
      SELECT bootstrap_token, root_verify_key IS NOT NULL AS is_bootstrapped
      FROM organization WHERE organization_id = ${organization_id}`)
    if (!found) return { status: 'not_found' }
    const { bootstrap_token, is_bootstrapped } = found
    if (is_bootstrapped) return { status: 'already_bootstrapped' }
    return { status: 'ok', bootstrap_token, bootstrap_link: bootstrapLink(ctx, organization_id, bootstrap_token) }
  },
  admin_users: async ({ db }, request) => {
    const page = await listUsers(db, request)
    return page ? { status: 'ok', ...page } : { status: 'not_found' }
  },
  admin_user: ({ db }, { organization_id, user_id }) => showUser(db, organization_id, user_id),
  admin_freeze: freezeUser,
  admin_devices: ({ db }, request) => listDevices(db, request),
  admin_realm_usage: async ({ db }, request) => {
    const page = await realmUsage(db, request)
    return page ? { status: 'ok', ...page } : { status: 'not_found' }
  },
  admin_user_usage: async ({ db }, request) => {
    const page = await userUsage(db, request)
    return page ? { status: 'ok', ...page } : { status: 'not_found' }
  },
  admin_figures: ({ db, now }) => serverFigures(db, now()),
  admin_history: async ({ db, now }, { days }) => {
    const { bootstrapped: _, expired: __, ...figures } = await serverFigures(db, now())
    return { samples: [...(await history(db, days)), { at: now(), ...figures }] }
  },
  devices_seen: async ({ db, now }, { seen }) => {
    await noteSeen(db, seen, now())
    return {}
  },
  admin_mail_test: async ({ mailer, budget }, { to }) => {
    if (!mailer) return { status: 'mail_not_configured' }
    const failure = await mailer.sendTest(to, budget)
    return failure === undefined ? { status: 'ok' } : { status: 'mail_failed', reason: failure }
  },
}
