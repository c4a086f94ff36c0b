/** When devices were last here: to the minute, so that whoever reconnects all the time costs nothing. */
import type { DateTime } from '@parsec/shared/codec/values'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { SeenDevice } from '@parsec/shared/protocol/internal'

/** In one statement and one order for all gateways; devices that are gone are left out. */
export async function noteSeen(db: Queryable, seen: readonly SeenDevice[], now: DateTime): Promise<void> {
  if (seen.length === 0) return
  await db.run(sql`
    INSERT INTO device_seen (device, organization, user_, seen_on)
    SELECT DISTINCT ON (device._id) device._id, device.organization, device.user_, told.seen_on
    FROM unnest(${seen.map(({ device }) => device)}::bigint[], ${seen.map(({ secondsAgo }) => now.plus(-secondsAgo))}::timestamptz[])
      AS told (device, seen_on)
    JOIN device ON device._id = told.device
    ORDER BY device._id, told.seen_on DESC
    ON CONFLICT (device) DO UPDATE SET seen_on = excluded.seen_on
    WHERE device_seen.seen_on < excluded.seen_on`)
}
