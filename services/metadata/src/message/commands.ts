/** The inbox of each user (spec 05 §11): positions are dense and stable for ever. */
import type { DateTime } from '@parsec/shared/codec/values'
import { sql } from '@parsec/shared/postgres/sql'
import type { message as table } from '@parsec/shared/protocol/message'
import type { DeviceID } from '@parsec/shared/protocol/types'
import type { Handlers } from '../context.ts'

export const message: Handlers<keyof typeof table> = {
  message_get: async (ctx, { offset }) => ({
    status: 'ok',
    messages: await ctx.db.all<{ count: number; sender: DeviceID; timestamp: DateTime; body: Buffer }>(sql`
      SELECT index AS count, sender, timestamp, body FROM message
      WHERE recipient = ${ctx.context.user} AND index > ${offset} ORDER BY index`),
  }),
}
