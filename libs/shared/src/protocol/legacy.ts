/** What only API v1 has, and the v1 shapes of commands that changed later (spec 02 §4, 03 §3.3 and §6). */
import {
  bool,
  bytes,
  dateTime,
  deviceId,
  deviceName,
  int,
  key,
  nullable,
  organizationId,
  text,
  userId,
  withDefault,
} from '../codec/fields.ts'
import type { DateTime } from '../codec/values.ts'
import { BOOTSTRAP_DEADLINE_MS } from '../deadlines.ts'
import { limits } from '../limits.ts'
import { command } from './command.ts'
import { BOOTSTRAP_STATUSES } from './organization.ts'
import type { UserID } from './types.ts'
import type { Trustchain } from './user.ts'

const AUTHENTICATED_V1 = { v1: ['authenticated'] } as const
const ANONYMOUS_V1 = { v1: ['anonymous'] } as const
const ADMINISTRATION = { v1: ['administration'] } as const
const optionalBytes = () => bytes().optional()

export const legacy = {
  v1_organization_bootstrap: command()({
    name: 'v1_organization_bootstrap',
    cmd: 'organization_bootstrap',
    callers: ANONYMOUS_V1,
    deadlineMs: BOOTSTRAP_DEADLINE_MS,
    request: {
      bootstrap_token: text({ maxBytes: limits.bootstrap_token.value }),
      root_verify_key: key(),
      user_certificate: bytes(),
      device_certificate: bytes(),
      redacted_user_certificate: optionalBytes(),
      redacted_device_certificate: optionalBytes(),
    },
    statuses: BOOTSTRAP_STATUSES,
    section: '02-organization-http §3.1',
  }),
  organization_create: command<{ bootstrap_token: string; expiration_date?: DateTime }>()({
    name: 'organization_create',
    callers: ADMINISTRATION,
    request: { organization_id: organizationId(), expiration_date: nullable(dateTime()) },
    statuses: ['already_exists'],
    section: '02-organization-http §4',
  }),
  organization_status: command<{
    is_bootstrapped: boolean
    expiration_date: DateTime | null
    user_profile_outsider_allowed: boolean
  }>()({
    name: 'organization_status',
    callers: ADMINISTRATION,
    request: { organization_id: organizationId() },
    statuses: ['not_found'],
    section: '02-organization-http §4',
  }),
  v1_organization_stats: command<{ data_size: number; metadata_size: number; users: number; workspaces: number }>()({
    name: 'v1_organization_stats',
    cmd: 'organization_stats',
    callers: ADMINISTRATION,
    lane: 'heavy',
    request: { organization_id: organizationId() },
    statuses: ['not_found'],
    section: '02-organization-http §4',
  }),
  organization_update: command()({
    name: 'organization_update',
    callers: ADMINISTRATION,
    request: {
      organization_id: organizationId(),
      /** Absent: unchanged; nil: never. */
      expiration_date: dateTime().nullish(),
      user_profile_outsider_allowed: bool().optional(),
    },
    statuses: ['not_found'],
    since: '1.1',
    section: '02-organization-http §4',
  }),
  user_find: command<{ results: UserID[]; page: number; per_page: number; total: number }>()({
    name: 'user_find',
    callers: AUTHENTICATED_V1,
    lane: 'heavy',
    request: {
      query: nullable(text({ maxBytes: limits.search_text.value })),
      omit_revoked: withDefault(bool(), false),
      page: withDefault(int({ min: 1 }), 1),
      per_page: withDefault(int({ min: 1, max: 100 }), 100),
    },
    statuses: ['not_allowed'],
    section: '03-users §6.2',
  }),
  v1_user_create: command()({
    name: 'v1_user_create',
    adminOnly: true,
    cmd: 'user_create',
    callers: AUTHENTICATED_V1,
    request: { user_certificate: bytes(), device_certificate: bytes() },
    statuses: ['not_allowed', 'invalid_certification', 'invalid_data', 'active_users_limit_reached', 'already_exists'],
    section: '03-users §6.7',
  }),
  v1_device_create: command()({
    name: 'v1_device_create',
    cmd: 'device_create',
    callers: AUTHENTICATED_V1,
    request: { device_certificate: bytes(), encrypted_answer: bytes() },
    statuses: ['invalid_certification', 'invalid_data', 'bad_user_id', 'already_exists'],
    section: '03-users §6.7',
  }),
  user_invite: command<{ encrypted_claim: Buffer }>()({
    name: 'user_invite',
    callers: AUTHENTICATED_V1,
    service: 'gateway',
    request: { user_id: userId() },
    statuses: ['not_allowed', 'already_exists', 'timeout'],
    cancellable: true,
    section: '03-users §6.3',
  }),
  user_get_invitation_creator: command<{
    device_certificate: Buffer
    user_certificate: Buffer
    trustchain: Trustchain
  }>()({
    name: 'user_get_invitation_creator',
    callers: ANONYMOUS_V1,
    request: { invited_user_id: userId() },
    statuses: ['not_found'],
    section: '03-users §6.4',
  }),
  user_claim: command<{ user_certificate: Buffer; device_certificate: Buffer }>()({
    name: 'user_claim',
    callers: ANONYMOUS_V1,
    service: 'gateway',
    request: { invited_user_id: userId(), encrypted_claim: bytes() },
    statuses: ['not_found', 'denied', 'timeout'],
    cancellable: true,
    section: '03-users §6.5',
  }),
  user_cancel_invitation: command()({
    name: 'user_cancel_invitation',
    adminOnly: true,
    callers: AUTHENTICATED_V1,
    request: { user_id: userId() },
    statuses: ['not_allowed'],
    section: '03-users §6.6',
  }),
  device_invite: command<{ encrypted_claim: Buffer }>()({
    name: 'device_invite',
    callers: AUTHENTICATED_V1,
    service: 'gateway',
    request: { invited_device_name: deviceName() },
    statuses: ['already_exists', 'timeout'],
    cancellable: true,
    section: '03-users §6.3',
  }),
  device_get_invitation_creator: command<{
    device_certificate: Buffer
    user_certificate: Buffer
    trustchain: Trustchain
  }>()({
    name: 'device_get_invitation_creator',
    callers: ANONYMOUS_V1,
    request: { invited_device_id: deviceId() },
    statuses: ['not_found'],
    section: '03-users §6.4',
  }),
  device_claim: command<{ device_certificate: Buffer; encrypted_answer: Buffer }>()({
    name: 'device_claim',
    callers: ANONYMOUS_V1,
    service: 'gateway',
    request: { invited_device_id: deviceId(), encrypted_claim: bytes() },
    statuses: ['not_found', 'denied', 'timeout'],
    cancellable: true,
    section: '03-users §6.5',
  }),
  device_cancel_invitation: command()({
    name: 'device_cancel_invitation',
    callers: AUTHENTICATED_V1,
    request: { invited_device_name: deviceName() },
    section: '03-users §6.6',
  }),
}
