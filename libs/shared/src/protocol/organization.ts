/** Organization commands of API v2 and v3 (spec 02 §3). */
import { bytes, key, nullable, text } from '../codec/fields.ts'
import { BOOTSTRAP_DEADLINE_MS } from '../deadlines.ts'
import { limits } from '../limits.ts'
import { AUTHENTICATED, command } from './command.ts'
import type { UserProfile } from './types.ts'

/** Counters of an organization (spec 05 §13). */
export type OrganizationStats = {
  data_size: number
  metadata_size: number
  realms: number
  users: number
  active_users: number
  /** Always three: ADMIN, STANDARD, OUTSIDER. */
  users_per_profile_detail: { profile: UserProfile; active: number; revoked: number }[]
}

export const BOOTSTRAP_STATUSES = [
  'invalid_certification',
  'invalid_data',
  'bad_timestamp',
  'not_found',
  'already_bootstrapped',
  'active_users_limit_reached',
] as const

export const organization = {
  organization_bootstrap: command()({
    name: 'organization_bootstrap',
    callers: { v2: ['anonymous'] },
    // The webhook (spec 02 §5) delays the reply by up to 30 s.
    deadlineMs: BOOTSTRAP_DEADLINE_MS,
    request: {
      bootstrap_token: text({ maxBytes: limits.bootstrap_token.value }),
      root_verify_key: key(),
      user_certificate: bytes(),
      device_certificate: bytes(),
      redacted_user_certificate: bytes(),
      redacted_device_certificate: bytes(),
      sequester_authority_certificate: nullable(bytes()),
    },
    statuses: BOOTSTRAP_STATUSES,
    since: '2.7',
    section: '02-organization-http §3.1',
  }),
  organization_config: command<{
    user_profile_outsider_allowed: boolean
    active_users_limit: number | null
    sequester_authority_certificate: Buffer | null
    sequester_services_certificates: Buffer[] | null
    /** Seconds. */
    minimum_archiving_period: number
  }>()({
    name: 'organization_config',
    callers: AUTHENTICATED,
    request: {},
    statuses: ['not_found'],
    since: '2.2',
    section: '02-organization-http §3.2',
  }),
  organization_stats: command<OrganizationStats>()({
    name: 'organization_stats',
    lane: 'heavy',
    adminOnly: true,
    callers: AUTHENTICATED,
    request: {},
    statuses: ['not_allowed', 'not_found'],
    since: '2.1',
    section: '02-organization-http §3.3',
  }),
}
