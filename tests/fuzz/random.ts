/** Deterministic numbers (mulberry32), so that a failure can be repeated. */
export class Random {
  #state: number
  constructor(seed: number) {
    this.#state = seed
  }
  /** An integer of [0, below). */
  int(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
  /** True once in `n` times. */
  once(n: number): boolean {
    return this.int(n) === 0
  }
  of<T>(items: readonly T[]): T {
    return items[this.int(items.length)]!
  }
  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.int(256)))
  }
}
