/** Versioned encrypted blobs of a realm (spec 05 §9). */
import { bytes, dateTime, int, mapOf, nullable, uuid } from '../codec/fields.ts'
import type { DateTime, Uuid } from '../codec/values.ts'
import { SEQUESTER_DEADLINE_MS } from '../deadlines.ts'
import { limits } from '../limits.ts'
import { type Asked, command, EVERY_AUTHENTICATED } from './command.ts'
import type { DeviceID } from './types.ts'

const sequester_blob = () => nullable(mapOf(uuid(), bytes(), { max: limits.sequester_blobs.value }))
const WRITE_STATUSES = [
  'bad_timestamp',
  'not_a_sequestered_organization',
  'sequester_inconsistency',
  'rejected_by_sequester_service',
  'timeout',
  'realm_deleted',
  'realm_archived',
  'in_maintenance',
  'bad_encryption_revision',
  'not_allowed',
  'require_greater_timestamp',
] as const

const ASKS_WEBHOOKS = { when: ({ sequestered }: Asked) => sequestered, deadlineMs: SEQUESTER_DEADLINE_MS }

export const vlob = {
  vlob_create: command()({
    name: 'vlob_create',
    callers: EVERY_AUTHENTICATED,
    slow: ASKS_WEBHOOKS,
    request: {
      realm_id: uuid(),
      encryption_revision: int({ min: 0 }),
      vlob_id: uuid(),
      timestamp: dateTime(),
      blob: bytes(),
      sequester_blob: sequester_blob(),
    },
    statuses: [...WRITE_STATUSES, 'already_exists'],
    section: '05-data §9.1',
  }),
  vlob_update: command()({
    name: 'vlob_update',
    callers: EVERY_AUTHENTICATED,
    slow: ASKS_WEBHOOKS,
    request: {
      encryption_revision: int({ min: 0 }),
      vlob_id: uuid(),
      timestamp: dateTime(),
      version: int({ min: 1 }),
      blob: bytes(),
      sequester_blob: sequester_blob(),
    },
    statuses: [...WRITE_STATUSES, 'not_found', 'bad_version'],
    section: '05-data §9.2',
  }),
  vlob_read: command<{
    version: number
    blob: Buffer
    author: DeviceID
    timestamp: DateTime
    author_last_role_granted_on: DateTime
  }>()({
    name: 'vlob_read',
    callers: EVERY_AUTHENTICATED,
    request: {
      encryption_revision: int({ min: 0 }),
      vlob_id: uuid(),
      version: nullable(int({ min: 1 })),
      timestamp: nullable(dateTime()),
    },
    statuses: ['not_found', 'realm_deleted', 'in_maintenance', 'bad_encryption_revision', 'not_allowed', 'bad_version'],
    section: '05-data §9.3',
  }),
  vlob_list_versions: command<{ versions: Map<number, [DateTime, DeviceID]> }>()({
    name: 'vlob_list_versions',
    lane: 'heavy',
    callers: EVERY_AUTHENTICATED,
    request: { vlob_id: uuid() },
    statuses: ['not_found', 'realm_deleted', 'in_maintenance', 'not_allowed'],
    section: '05-data §9.4',
  }),
  vlob_poll_changes: command<{ changes: Map<Uuid, number>; current_checkpoint: number }>()({
    name: 'vlob_poll_changes',
    lane: 'heavy',
    callers: EVERY_AUTHENTICATED,
    request: { realm_id: uuid(), last_checkpoint: int({ min: 0 }) },
    statuses: ['not_found', 'realm_deleted', 'in_maintenance', 'not_allowed'],
    section: '05-data §9.5',
  }),
}
