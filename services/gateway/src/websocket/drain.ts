/** Sends clients to another gateway, a few at a time, so that they do not all come back at once. */
import { setTimeout as pause } from 'node:timers/promises'
import { CLOSE_RESTART } from './client-socket.ts'
import type { Connection } from './connection.ts'

/** Fewer connections than this are closed together. */
const MIN_BATCH = 100
const BATCH_INTERVAL_MS = 100
/** Share of the grace period over which closes are spread; the rest is for commands in progress and the last frames. */
const SPREAD = 0.7

/** How many of `count` connections to close per interval, to be done within `deadlineMs`. */
export const batchSize = (count: number, deadlineMs: number): number =>
  Math.max(MIN_BATCH, Math.ceil(count / Math.max(1, Math.floor((deadlineMs * SPREAD) / BATCH_INTERVAL_MS))))

/** Closes all connections (1012), after the command that each has in progress; resolves when all are gone or `deadlineMs` is over. */
export async function drainConnections(connections: ReadonlySet<Connection>, deadlineMs: number): Promise<void> {
  const end = performance.now() + deadlineMs
  const waiting = [...connections]
  const size = batchSize(waiting.length, deadlineMs)
  while (connections.size > 0 && performance.now() < end) {
    for (const connection of waiting.splice(0, size)) connection.leave(CLOSE_RESTART)
    await pause(Math.min(BATCH_INTERVAL_MS, Math.max(0, end - performance.now())))
  }
}
