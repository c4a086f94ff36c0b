/** The inbox of a user (spec 05 §11). */
import { int } from '../codec/fields.ts'
import type { DateTime } from '../codec/values.ts'
import { command, EVERY_AUTHENTICATED } from './command.ts'
import type { DeviceID } from './types.ts'

export const message = {
  message_get: command<{ messages: { count: number; sender: DeviceID; timestamp: DateTime; body: Buffer }[] }>()({
    name: 'message_get',
    callers: EVERY_AUTHENTICATED,
    request: { offset: int({ min: 0 }) },
    section: '05-data §11',
  }),
}
