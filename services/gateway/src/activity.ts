/** What clients asked in the last hour, minute by minute, for administrators without a monitoring system. */
import { ACTIVITY_BOUNDS, type ActivityMinute } from '@parsec/shared/protocol/replica'

const KEPT_MINUTES = 60
const MINUTE = 60_000

export class Activity {
  readonly #now: () => number
  readonly #connections: () => number
  #minutes: ActivityMinute[] = []

  /** `now`: milliseconds since 1970; `connections`: how many there are. */
  constructor(connections: () => number, now: () => number = Date.now) {
    this.#connections = connections
    this.#now = now
  }
  /** A command that was answered. */
  request(seconds: number): void {
    const current = this.#current()
    const ms = seconds * 1000
    const at = ACTIVITY_BOUNDS.findIndex(bound => ms <= bound)
    current.requests++
    current.durations[at < 0 ? ACTIVITY_BOUNDS.length : at]!++
  }
  /** One that ended with an outage or a failure. */
  failure(): void {
    this.#current().errors++
  }
  /** Oldest first; minutes in which nobody asked anything are left out. */
  minutes(): ActivityMinute[] {
    const current = this.#current()
    return this.#minutes.filter(({ minute }) => minute > current.minute - KEPT_MINUTES)
  }

  #current(): ActivityMinute {
    const minute = Math.floor(this.#now() / MINUTE)
    let last = this.#minutes.at(-1)
    if (last?.minute !== minute) {
      last = { minute, requests: 0, errors: 0, connections: 0, durations: ACTIVITY_BOUNDS.map(() => 0).concat(0) }
      const isPast = (one: ActivityMinute) => one.minute > minute - KEPT_MINUTES && one.minute < minute
      this.#minutes = [...this.#minutes.filter(isPast), last]
    }
    last.connections = this.#connections()
    return last
  }
}
