/** How often each of many callers does something, counted in bounded memory. */

/** Most callers counted at once; past it counting starts anew. */
export const MAX_COUNTED = 10_000

export class RateLimit {
  readonly #max: number
  readonly #windowMs: number
  readonly #counts = new Map<string, number>()
  #windowStart = Number.NEGATIVE_INFINITY
  constructor(max: number, windowMs: number) {
    this.#max = max
    this.#windowMs = windowMs
  }

  /** Counts one more; false when `who` had its share of this window. `nowMs`: a monotonic clock. */
  take(who: string, nowMs: number): boolean {
    if (nowMs - this.#windowStart >= this.#windowMs || this.#counts.size >= MAX_COUNTED) {
      this.#windowStart = nowMs
      this.#counts.clear()
    }
    const count = (this.#counts.get(who) ?? 0) + 1
    this.#counts.set(who, count)
    return count <= this.#max
  }
}
