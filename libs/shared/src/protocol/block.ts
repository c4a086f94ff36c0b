/** Immutable encrypted blocks (spec 05 §10); the only commands whose payload the blockstore service keeps. */
import { bytes, uuid } from '../codec/fields.ts'
import { BLOCK_DEADLINE_MS } from '../deadlines.ts'
import { command, EVERY_AUTHENTICATED } from './command.ts'

export const block = {
  block_create: command()({
    name: 'block_create',
    callers: EVERY_AUTHENTICATED,
    service: 'blockstore',
    deadlineMs: BLOCK_DEADLINE_MS,
    request: { block_id: uuid(), realm_id: uuid(), block: bytes() },
    statuses: [
      'not_found',
      'realm_deleted',
      'realm_archived',
      'in_maintenance',
      'not_allowed',
      'already_exists',
      'timeout',
    ],
    section: '05-data §10.1',
  }),
  block_read: command<{ block: Buffer }>()({
    name: 'block_read',
    callers: EVERY_AUTHENTICATED,
    service: 'blockstore',
    deadlineMs: BLOCK_DEADLINE_MS,
    request: { block_id: uuid() },
    statuses: ['not_found', 'realm_deleted', 'in_maintenance', 'not_allowed', 'timeout'],
    section: '05-data §10.2',
  }),
}
