/** Keeps an average rate of bytes, so that upkeep leaves the network and the disks to clients. */
import { SCRUB_BURST_MS } from '@parsec/shared/deadlines'
import { pause } from '../stores/deadline.ts'

/** A function that is told of bytes just moved, and resolves when more may follow; null: no limit. */
export function pacer(bytesPerSecond: number | null, signal: AbortSignal): (bytes: number) => Promise<void> {
  if (bytesPerSecond === null) return async () => {}
  let paidUntil = performance.now()
  return async bytes => {
    const now = performance.now()
    paidUntil = Math.max(paidUntil, now - SCRUB_BURST_MS) + (bytes * 1000) / bytesPerSecond
    if (paidUntil > now) await pause(paidUntil - now, signal)
  }
}
