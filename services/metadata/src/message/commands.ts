/** The inbox of each user (spec 05 §11): positions are dense and stable for ever. */
import type { DateTime } from '@parsec/shared/codec/values'
import { limits } from '@parsec/shared/limits'
import { sql } from '@parsec/shared/postgres/sql'
import type { message as table } from '@parsec/shared/protocol/message'
import type { DeviceID } from '@parsec/shared/protocol/types'
import type { Handlers } from '../context.ts'

export const message: Handlers<keyof typeof table> = {
  /** As many as fit: clients go on from the last one that they have, when the next event comes. */
  message_get: async (ctx, { offset }) => ({
    status: 'ok',
    messages: await ctx.db.all<{ count: number; sender: DeviceID; timestamp: DateTime; body: Buffer }>(sql`
      SELECT index AS count, sender, timestamp, body FROM (
        SELECT *, sum(octet_length(body)) OVER (ORDER BY index) AS bytes FROM (
          SELECT * FROM message WHERE recipient = ${ctx.context.user} AND index > ${offset}
          ORDER BY index LIMIT ${limits.listed_messages.value}
        ) message
      ) message
      WHERE bytes <= ${limits.listed_messages_bytes.value} OR bytes = octet_length(body) ORDER BY index`),
  }),
}
