/** Re-encryption of a realm (spec 05 §8). */
import { bytes, dateTime, int, list, mapOf, struct, userId, uuid } from '../codec/fields.ts'
import type { Uuid } from '../codec/values.ts'
import { limits } from '../limits.ts'
import { command, EVERY_AUTHENTICATED } from './command.ts'
import { inboxMessage } from './message.ts'

const BATCH_STATUSES = [
  'not_found',
  'realm_deleted',
  'not_in_maintenance',
  'bad_encryption_revision',
  'not_allowed',
] as const

export const maintenance = {
  realm_start_reencryption_maintenance: command()({
    name: 'realm_start_reencryption_maintenance',
    callers: EVERY_AUTHENTICATED,
    lane: 'heavy',
    request: {
      realm_id: uuid(),
      encryption_revision: int({ min: 0 }),
      timestamp: dateTime(),
      per_participant_message: mapOf(userId(), inboxMessage(), { max: limits.participants.value }),
    },
    statuses: [
      'bad_timestamp',
      'not_found',
      'in_maintenance',
      'bad_encryption_revision',
      'not_allowed',
      'realm_deleted',
      'participants_mismatch',
      'participant_mismatch',
    ],
    section: '05-data §8.1',
  }),
  vlob_maintenance_get_reencryption_batch: command<{ batch: { vlob_id: Uuid; version: number; blob: Buffer }[] }>()({
    name: 'vlob_maintenance_get_reencryption_batch',
    callers: EVERY_AUTHENTICATED,
    lane: 'heavy',
    request: {
      realm_id: uuid(),
      encryption_revision: int({ min: 0 }),
      size: int({ min: 0, max: limits.reencryption_batch.value }),
    },
    statuses: BATCH_STATUSES,
    section: '05-data §8.2',
  }),
  vlob_maintenance_save_reencryption_batch: command<{ total: number; done: number }>()({
    name: 'vlob_maintenance_save_reencryption_batch',
    callers: EVERY_AUTHENTICATED,
    lane: 'heavy',
    request: {
      realm_id: uuid(),
      encryption_revision: int({ min: 0 }),
      batch: list(struct({ vlob_id: uuid(), version: int({ min: 0 }), blob: bytes() }), {
        max: limits.reencryption_batch.value,
      }),
    },
    statuses: BATCH_STATUSES,
    section: '05-data §8.3',
  }),
  realm_finish_reencryption_maintenance: command()({
    name: 'realm_finish_reencryption_maintenance',
    callers: EVERY_AUTHENTICATED,
    lane: 'heavy',
    request: { realm_id: uuid(), encryption_revision: int({ min: 0 }) },
    statuses: [
      'not_found',
      'not_allowed',
      'realm_deleted',
      'not_in_maintenance',
      'bad_encryption_revision',
      'maintenance_error',
    ],
    section: '05-data §8.4',
  }),
}
