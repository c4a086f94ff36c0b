/** Users, devices and humans (spec 03 §4). */
import { bool, bytes, type HumanHandle, int, nullable, text, userId, withDefault } from '../codec/fields.ts'
import { limits } from '../limits.ts'
import { AUTHENTICATED, command, EVERY_AUTHENTICATED } from './command.ts'
import type { UserID } from './types.ts'

/** Certificates that let a client verify those of a user, up to the root key. */
export type Trustchain = { devices: Buffer[]; users: Buffer[]; revoked_users: Buffer[] }

export const user = {
  user_get: command<{
    user_certificate: Buffer
    revoked_user_certificate: Buffer | null
    device_certificates: Buffer[]
    trustchain: Trustchain
  }>()({
    name: 'user_get',
    callers: EVERY_AUTHENTICATED,
    lane: 'heavy',
    request: { user_id: userId() },
    statuses: ['not_found'],
    section: '03-users §4.1',
  }),
  user_create: command()({
    name: 'user_create',
    adminOnly: true,
    callers: AUTHENTICATED,
    request: {
      user_certificate: bytes(),
      device_certificate: bytes(),
      redacted_user_certificate: bytes(),
      redacted_device_certificate: bytes(),
    },
    statuses: ['not_allowed', 'invalid_certification', 'invalid_data', 'active_users_limit_reached', 'already_exists'],
    since: '2.0',
    section: '03-users §4.2',
  }),
  device_create: command()({
    name: 'device_create',
    callers: AUTHENTICATED,
    request: { device_certificate: bytes(), redacted_device_certificate: bytes() },
    statuses: ['invalid_certification', 'bad_user_id', 'invalid_data', 'already_exists'],
    since: '2.0',
    section: '03-users §4.3',
  }),
  user_revoke: command()({
    name: 'user_revoke',
    adminOnly: true,
    callers: EVERY_AUTHENTICATED,
    request: { revoked_user_certificate: bytes() },
    statuses: ['not_allowed', 'invalid_certification', 'not_found', 'already_revoked'],
    section: '03-users §4.4',
  }),
  human_find: command<{
    results: { user_id: UserID; human_handle: HumanHandle | null; revoked: boolean }[]
    page: number
    per_page: number
    total: number
  }>()({
    name: 'human_find',
    lane: 'heavy',
    callers: EVERY_AUTHENTICATED,
    request: {
      query: nullable(text({ maxBytes: limits.search_text.value })),
      omit_revoked: withDefault(bool(), false),
      omit_non_human: withDefault(bool(), false),
      page: withDefault(int({ min: 1 }), 1),
      per_page: withDefault(int({ min: 1, max: 100 }), 100),
    },
    statuses: ['not_allowed'],
    since: '1.2',
    section: '03-users §4.5',
  }),
}
