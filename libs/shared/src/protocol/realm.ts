/** Realms, their roles and their archiving (spec 05 §6, §7). */
import { bytes, requiredNullable, uuid } from '../codec/fields.ts'
import type { DateTime, Uuid } from '../codec/values.ts'
import { AUTHENTICATED, command, EVERY_AUTHENTICATED } from './command.ts'
import { inboxMessage } from './message.ts'
import type { DeviceID, MaintenanceType } from './types.ts'

export type ArchivingConfiguration =
  | { type: 'AVAILABLE' | 'ARCHIVED' }
  | { type: 'DELETION_PLANNED'; deletion_date: DateTime }

export const realm = {
  realm_create: command()({
    name: 'realm_create',
    callers: EVERY_AUTHENTICATED,
    request: { role_certificate: bytes() },
    statuses: ['invalid_certification', 'bad_timestamp', 'invalid_data', 'already_exists'],
    section: '05-data §6.1',
  }),
  realm_status: command<{
    in_maintenance: boolean
    maintenance_type: MaintenanceType | null
    maintenance_started_on: DateTime | null
    maintenance_started_by: DeviceID | null
    encryption_revision: number
  }>()({
    name: 'realm_status',
    callers: EVERY_AUTHENTICATED,
    request: { realm_id: uuid() },
    statuses: ['not_found', 'not_allowed', 'realm_deleted'],
    section: '05-data §6.2',
  }),
  realm_stats: command<{ blocks_size: number; vlobs_size: number }>()({
    name: 'realm_stats',
    lane: 'heavy',
    callers: EVERY_AUTHENTICATED,
    request: { realm_id: uuid() },
    statuses: ['not_found', 'not_allowed', 'realm_deleted'],
    since: '1.2',
    section: '05-data §6.3',
  }),
  realm_get_role_certificates: command<{ certificates: Buffer[] }>()({
    name: 'realm_get_role_certificates',
    callers: EVERY_AUTHENTICATED,
    lane: 'heavy',
    request: { realm_id: uuid() },
    statuses: ['not_found', 'not_allowed'],
    section: '05-data §6.4',
  }),
  realm_update_roles: command()({
    name: 'realm_update_roles',
    callers: EVERY_AUTHENTICATED,
    request: { role_certificate: bytes(), recipient_message: requiredNullable(inboxMessage()) },
    statuses: [
      'not_allowed',
      'invalid_certification',
      'bad_timestamp',
      'invalid_data',
      'not_found',
      'incompatible_profile',
      'realm_deleted',
      'user_revoked',
      'in_maintenance',
      'already_granted',
      'require_greater_timestamp',
    ],
    section: '05-data §6.5',
  }),
  realm_update_archiving: command()({
    name: 'realm_update_archiving',
    callers: AUTHENTICATED,
    request: { archiving_certificate: bytes() },
    statuses: [
      'invalid_certification',
      'bad_timestamp',
      'not_found',
      'realm_deleted',
      'not_allowed',
      'archiving_period_too_short',
      'require_greater_timestamp',
    ],
    since: '2.10',
    section: '05-data §7.2',
  }),
  archiving_config: command<{
    archiving_config: {
      realm_id: Uuid
      configured_on: DateTime | null
      configured_by: DeviceID | null
      configuration: ArchivingConfiguration
    }[]
  }>()({
    name: 'archiving_config',
    callers: AUTHENTICATED,
    lane: 'heavy',
    request: {},
    since: '2.10',
    section: '05-data §7.3',
  }),
}
