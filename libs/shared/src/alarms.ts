/**
 * Ends of waits that are hardly ever reached. A command has two or three: a timer of Node's for each costs a twentieth of
 * a light command. An alarm costs next to nothing to set and to clear, and rings up to `ALARM_PRECISION_MS` late.
 */
import { Bag, type InBag } from './bag.ts'
import { ALARM_PRECISION_MS } from './deadlines.ts'

export class Alarm implements InBag {
  place = -1
  readonly at: number
  readonly ring: () => void
  constructor(at: number, ring: () => void) {
    this.at = at
    this.ring = ring
  }
}

class Alarms {
  readonly #keepsAlive: boolean
  readonly #set = new Bag<Alarm>()
  #timer: NodeJS.Timeout | undefined
  /** `keepsAlive`: the process does not end while one is set. */
  constructor({ keepsAlive }: { keepsAlive: boolean }) {
    this.#keepsAlive = keepsAlive
  }

  /** `at`: as `performance.now()` has it. */
  set(at: number, ring: () => void): Alarm {
    const alarm = new Alarm(at, ring)
    this.#set.add(alarm)
    if (!this.#timer) this.#lookSoon()
    return alarm
  }
  /** It will not ring any more. */
  clear(alarm: Alarm): void {
    this.#set.delete(alarm)
  }
  #lookSoon(): void {
    this.#timer = setTimeout(this.#look, ALARM_PRECISION_MS)
    if (!this.#keepsAlive) this.#timer.unref()
  }
  readonly #look = (): void => {
    this.#timer = undefined
    const now = performance.now()
    for (const alarm of this.#set.all()) if (alarm.at <= now && this.#set.delete(alarm)) alarm.ring()
    if (this.#set.size > 0 && !this.#timer) this.#lookSoon()
  }
}

/** Of whoever waits for an answer. */
export const alarms = new Alarms({ keepsAlive: true })
/** Of whoever works on one. */
export const idleAlarms = new Alarms({ keepsAlive: false })
