/** Sends clients to another gateway, a few at a time, so that they do not all come back at once. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Bag } from '@parsec/shared/bag'
import { CLOSE_FRAME_STOPPING_MS, DRAIN_INTERVAL_MS } from '@parsec/shared/deadlines'
import { CLOSE_RESTART } from './client-socket.ts'
import type { Connection } from './connection.ts'

/** Fewer connections than this are closed together. */
const MIN_BATCH = 100
/** Share of the grace period over which closes are spread; the rest is for commands in progress and the last frames. */
const SPREAD = 0.7

/** How many of `count` connections to close per interval, to be done within `deadlineMs`. */
export const batchSize = (count: number, deadlineMs: number): number =>
  Math.max(MIN_BATCH, Math.ceil(count / Math.max(1, Math.floor((deadlineMs * SPREAD) / DRAIN_INTERVAL_MS))))

/**
 * Closes all connections (1012), after the command that each has in progress; resolves when all are gone or `deadlineMs`
 * is over. Most clients sleep and read nothing while they do (spec 01 §6), so they are not waited for very long.
 */
export async function drainConnections(connections: Bag<Connection>, deadlineMs: number): Promise<void> {
  const end = performance.now() + deadlineMs
  const waiting = connections.all()
  const size = batchSize(waiting.length, deadlineMs)
  const closedAt = new Map<Connection, number>()
  while (connections.size > 0 && performance.now() < end) {
    for (const connection of waiting.splice(0, size)) connection.leave(CLOSE_RESTART)
    await pause(Math.min(DRAIN_INTERVAL_MS, Math.max(0, end - performance.now())))
    const now = performance.now()
    for (const connection of connections.all()) {
      if (!connection.hasEnded) continue
      const since = closedAt.get(connection) ?? now
      closedAt.set(connection, since)
      if (now - since >= CLOSE_FRAME_STOPPING_MS) connection.terminate()
    }
  }
}
