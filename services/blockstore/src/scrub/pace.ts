/** Keeps an average rate of bytes, so that upkeep leaves the network and the disks to clients. */
import { pause } from '../stores/deadline.ts'

/** Longest saving, in milliseconds: after an idle time nobody may spend more than this at once. */
const BURST_MS = 1_000

/** A function that is told of bytes just moved, and resolves when more may follow; null: no limit. */
export function pacer(bytesPerSecond: number | null, signal: AbortSignal): (bytes: number) => Promise<void> {
  if (bytesPerSecond === null) return async () => {}
  let paidUntil = performance.now()
  return async bytes => {
    const now = performance.now()
    paidUntil = Math.max(paidUntil, now - BURST_MS) + (bytes * 1000) / bytesPerSecond
    if (paidUntil > now) await pause(paidUntil - now, signal)
  }
}
