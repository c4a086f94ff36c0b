/** Counts operations and their latencies over a warm-up and a measurement. */
import { percentile } from './statistics.ts'

/** Latencies in milliseconds; `operations` counts the warm-up too, `perSecond` does not. */
export type LoadResult = { perSecond: number; p50: number; p99: number; operations: number; cpuMs: number }

/** Latencies of what ended between the end of the warm-up and the end of the measurement. */
export class Meter {
  readonly endsAt: number
  readonly #startsAt: number
  readonly #measureMs: number
  readonly #cpu = process.cpuUsage()
  readonly #latencies: number[] = []
  #operations = 0
  constructor(warmupMs: number, measureMs: number) {
    this.#startsAt = performance.now() + warmupMs
    this.endsAt = this.#startsAt + measureMs
    this.#measureMs = measureMs
  }
  /** Takes one operation that started at `sentAt`; returns the time, which is when the next one starts. */
  count(sentAt: number): number {
    const now = performance.now()
    this.#operations++
    if (now >= this.#startsAt && now < this.endsAt) this.#latencies.push(now - sentAt)
    return now
  }
  result(): LoadResult {
    const { user, system } = process.cpuUsage(this.#cpu)
    return {
      perSecond: (this.#latencies.length * 1000) / this.#measureMs,
      p50: percentile(this.#latencies, 0.5),
      p99: percentile(this.#latencies, 0.99),
      operations: this.#operations,
      cpuMs: (user + system) / 1000,
    }
  }
}
