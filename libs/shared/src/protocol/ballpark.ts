/** The clock window for timestamps that clients choose (spec 01 §5.5): one for every release. */
import { type DateTime, Float } from '../codec/values.ts'

/** Seconds that a client's clock may be ahead of the server's, exclusive. */
export const BALLPARK_CLIENT_EARLY_OFFSET = 300
/** Seconds that it may be behind, exclusive. */
export const BALLPARK_CLIENT_LATE_OFFSET = 320

export function isInBallpark(client_timestamp: DateTime, now: DateTime): boolean {
  const behind = now.us - client_timestamp.us
  return -BALLPARK_CLIENT_EARLY_OFFSET * 1e6 < behind && behind < BALLPARK_CLIENT_LATE_OFFSET * 1e6
}

/** The `bad_timestamp` reply with the four fields that clients show (spec 01 §8.3), or undefined inside the window. */
export function badTimestamp(client_timestamp: DateTime, now: DateTime) {
  if (isInBallpark(client_timestamp, now)) return undefined
  return {
    status: 'bad_timestamp' as const,
    ballpark_client_early_offset: new Float(BALLPARK_CLIENT_EARLY_OFFSET),
    ballpark_client_late_offset: new Float(BALLPARK_CLIENT_LATE_OFFSET),
    backend_timestamp: now,
    client_timestamp,
  }
}
