/** What the log says of a connection that this process ends because of a limit: which row of docs/limits.md, and its figure. */
import { type Limit, limits } from './limits.ts'
import type { Log, LogKeys } from './log.ts'

/** By the reason that is logged. */
const BEHIND = {
  'too many messages at once': limits.waiting_messages,
  'too many requests at once': limits.waiting_requests,
  'too many frames in one message': limits.message_frames,
  'too many pings at once': limits.pings,
  'too many bytes in flight': limits.bytes_in_flight,
  'too slow': limits.slowest_client,
  'too many events unread': limits.queued_events,
  'too many bytes of events unread': limits.queued_event_bytes,
  'events of all clients unread': limits.all_queued_event_bytes,
  'too many events while subscribing': limits.deferred_events,
  'events come too fast': limits.event_deliveries,
  'too many handshakes from one address': limits.half_open_handshakes,
} as const satisfies { readonly [reason: string]: Limit }

export type Cut = keyof typeof BEHIND
export const CUTS = Object.keys(BEHIND) as readonly Cut[]

/** Keys of the line; none when the end has another cause. */
export function limitKeys(reason: string): { limit?: string; most?: number } {
  const limit: Limit | undefined = (BEHIND as { readonly [reason: string]: Limit | undefined })[reason]
  return limit ? { limit: limit.what, most: limit.value } : {}
}

/** Tells of a connection's end: one because of a limit is a warning. Keys that name a limit themselves count, too. */
export function logEnd(log: Log, event: string, keys: { readonly reason?: string } & LogKeys): void {
  const told = { ...keys, ...limitKeys(keys.reason ?? '') }
  log['limit' in told ? 'warning' : 'info'](event, told)
}
