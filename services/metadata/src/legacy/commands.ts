/** Commands and shapes of API v1 (spec 02 §4, 03 §3.3 and §6), but for its invitations. */

import { isName } from '@parsec/shared/codec/fields'
import { sql } from '@parsec/shared/postgres/sql'
import type { legacy as table } from '@parsec/shared/protocol/legacy'
import type { UserID } from '@parsec/shared/protocol/types'
import type { Handlers } from '../context.ts'
import {
  createOrganization,
  newBootstrapToken,
  organizationStatus,
  updateOrganization,
} from '../organization/administration.ts'
import { bootstrap } from '../organization/bootstrap.ts'
import { organizationStats } from '../organization/statistics.ts'
import { checkNewDevice, checkNewUser } from '../user/certificates.ts'
import { createDevice, createUser } from '../user/people.ts'
import { textPattern, USER_ID } from '../user/search.ts'

/** Those have a file of their own. */
type Invitation = `${'user' | 'device'}_${'invite' | 'get_invitation_creator' | 'claim' | 'cancel_invitation'}`

export const legacy: Handlers<Exclude<keyof typeof table, Invitation>> = {
  v1_organization_bootstrap: (ctx, request) => bootstrap(ctx, { ...request, sequester_authority_certificate: null }),

  organization_create: async (ctx, { organization_id, expiration_date }) => {
    const bootstrap_token = newBootstrapToken()
    const created = await createOrganization(ctx, organization_id, { bootstrap_token, expiration_date })
    if (!created) return { status: 'already_exists' }
    return { status: 'ok', bootstrap_token, ...(expiration_date && { expiration_date }) }
  },

  organization_status: async (ctx, { organization_id }) => {
    const status = await organizationStatus(ctx, organization_id)
    if (!status) return { status: 'not_found' }
    const { is_bootstrapped, is_expired, expiration_date, expired_on, user_profile_outsider_allowed } = status
    // An organization that the REST API marked as expired has no date: the instant of the mark is one that has passed.
    return {
      status: 'ok',
      is_bootstrapped,
      expiration_date:
        is_expired && !(expiration_date && !expiration_date.isAfter(ctx.now())) ? expired_on : expiration_date,
      user_profile_outsider_allowed,
    }
  },

  v1_organization_stats: async (ctx, { organization_id }) => {
    const stats = await organizationStats(ctx.db, organization_id)
    if (!stats) return { status: 'not_found' }
    const { data_size, metadata_size, users, realms } = stats
    return { status: 'ok', data_size, metadata_size, users, workspaces: realms }
  },

  organization_update: (ctx, { organization_id, expiration_date, user_profile_outsider_allowed }) =>
    updateOrganization(ctx, organization_id, {
      expiration_date,
      ...(user_profile_outsider_allowed !== undefined && { user_profile_outsider_allowed }),
    }),

  user_find: async (ctx, { query, omit_revoked, page, per_page }) => {
    if (ctx.context.profile === 'OUTSIDER')
      return { status: 'not_allowed', reason: 'Not allowed for user with OUTSIDER profile.' }
    if (query && !isName(query)) return { status: 'ok', results: [], page, per_page, total: 0 }
    const pattern = query ? textPattern(query) : null
    const rows = await ctx.db.all<{ total: number; user_id: UserID | null }>(sql`
      WITH matched AS (
        SELECT user_id, folded_user_id FROM user_
        WHERE organization = ${ctx.context.organization} AND (${pattern}::text IS NULL OR ${USER_ID} LIKE ${pattern})
          AND NOT (${omit_revoked} AND revoked_on IS NOT NULL AND revoked_on <= ${ctx.now()})
      )
      SELECT total.total, page.user_id FROM (SELECT count(*) AS total FROM matched) total LEFT JOIN LATERAL (
        SELECT * FROM matched ORDER BY folded_user_id COLLATE "C", user_id COLLATE "C"
        LIMIT ${per_page} OFFSET ${(page - 1) * per_page}
      ) page ON TRUE`)
    return { status: 'ok', results: rows.flatMap(row => row.user_id ?? []), page, per_page, total: rows[0]!.total }
  },

  v1_user_create: async (ctx, { user_certificate, device_certificate }) => {
    const { device_id, verify_key } = ctx.context
    const sent = {
      user_certificate,
      device_certificate,
      redacted_user_certificate: user_certificate,
      redacted_device_certificate: device_certificate,
    }
    const checked = checkNewUser(sent, { author: device_id, verify_key }, ctx.now())
    return checked.ok ? createUser(ctx, checked.value) : checked.refusal
  },

  v1_device_create: async (ctx, { device_certificate, encrypted_answer }) => {
    const { device_id, user_id, verify_key } = ctx.context
    const signer = { author: device_id, verify_key }
    const checked = checkNewDevice(
      { device_certificate, redacted_device_certificate: null },
      signer,
      user_id,
      ctx.now(),
      'label first',
    )
    return checked.ok ? createDevice(ctx, checked.value, encrypted_answer) : checked.refusal
  },
}
