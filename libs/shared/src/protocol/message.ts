/** The inbox of a user (spec 05 §11). */
import { bytes, int } from '../codec/fields.ts'
import type { DateTime } from '../codec/values.ts'
import { limits } from '../limits.ts'
import { command, EVERY_AUTHENTICATED } from './command.ts'
import type { DeviceID } from './types.ts'

/** What a command leaves in an inbox, where it stays for ever (spec 05 §11). */
export const inboxMessage = () => bytes({ maxBytes: limits.recipient_message.value })

export const message = {
  message_get: command<{ messages: { count: number; sender: DeviceID; timestamp: DateTime; body: Buffer }[] }>()({
    name: 'message_get',
    callers: EVERY_AUTHENTICATED,
    lane: 'heavy',
    request: { offset: int({ min: 0 }) },
    section: '05-data §11',
  }),
}
