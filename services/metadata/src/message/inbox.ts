/** Adding to a user's inbox, for the commands that notify somebody (spec 05 §11). */
import type { DateTime } from '@parsec/shared/codec/values'
import { sql } from '@parsec/shared/postgres/sql'
import type { DeviceID, UserID } from '@parsec/shared/protocol/types'
import type { Tx } from '../storage/transaction.ts'

/** Adds a message and tells the recipient. The user's row is the lock that orders the messages of one recipient. */
export async function appendMessage(
  tx: Tx,
  recipient: { user: number; user_id: UserID },
  { sender, timestamp, body }: { sender: DeviceID; timestamp: DateTime; body: Buffer },
): Promise<void> {
  const inserted = await tx.one<{ index: number }>(sql`
    WITH counted AS (UPDATE user_ SET message_count = message_count + 1 WHERE _id = ${recipient.user} RETURNING message_count)
    INSERT INTO message (recipient, index, sender, timestamp, body)
    SELECT ${recipient.user}, message_count, ${sender}, ${timestamp}, ${body} FROM counted RETURNING index`)
  tx.emit({ to: 'users', user_ids: [recipient.user_id] }, { event: 'message.received', index: inserted!.index })
}
