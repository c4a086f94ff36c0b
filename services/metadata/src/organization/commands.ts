/** Organizations: bootstrap, configuration, statistics (spec 02 §3). */
import { sql } from '@parsec/shared/postgres/sql'
import type { organization as table } from '@parsec/shared/protocol/organization'
import type { Handlers } from '../context.ts'
import { bootstrap } from './bootstrap.ts'
import { organizationStats } from './statistics.ts'

export const organization: Handlers<keyof typeof table> = {
  organization_bootstrap: (ctx, request) => bootstrap(ctx, request),

  organization_config: async ctx => {
    const found = await ctx.db.one<{
      user_profile_outsider_allowed: boolean
      active_users_limit: number | null
      minimum_archiving_period: number
      sequester_authority_certificate: Buffer | null
      certificates: Buffer[]
    }>(sql`
      SELECT user_profile_outsider_allowed, active_users_limit, minimum_archiving_period, sequester_authority_certificate,
        ARRAY(
          SELECT certificate FROM sequester_service
          WHERE sequester_service.organization = organization._id AND disabled_on IS NULL ORDER BY sequester_service._id
        ) AS certificates
      FROM organization WHERE _id = ${ctx.context.organization}`)
    if (!found) return { status: 'not_found' }
    const { certificates, ...config } = found
    return {
      status: 'ok',
      ...config,
      sequester_services_certificates: config.sequester_authority_certificate === null ? null : certificates,
    }
  },

  organization_stats: async ctx => {
    const stats = await organizationStats(ctx.db, ctx.context.organization_id)
    return stats ? { status: 'ok', ...stats } : { status: 'not_found' }
  },
}
