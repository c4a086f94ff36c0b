/**
 * Work on many items, a slice per turn of the event loop, so that nobody else waits for a user of a hundred thousand realms,
 * or for the end of ten thousand connections. Small work is done at once.
 */
import { FAN_OUT_TURN_MS } from '@parsec/shared/deadlines'

/** Items between two looks at the clock; one costs up to some 20 µs. */
export const LOOK_EVERY = 64

/** Takes up to `LOOK_EVERY` items; true when there are no more. */
type Work = { step: () => boolean; done: () => void }

export class Slices {
  readonly #now: () => number
  /** Those that wait take turns. */
  readonly #waiting: Work[] = []
  #turn: NodeJS.Immediate | undefined
  /** When this turn did its first. */
  #startedAt = 0
  /** One item may bring others. */
  #isWorking = false
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Resolves when `each` was called with each item; it never throws. Begins at once, when this turn has time left. */
  each<T>(items: Iterable<T>, each: (item: T) => void): Promise<void> {
    const iterator = items[Symbol.iterator]()
    const step = () => {
      for (let n = 0; n < LOOK_EVERY; n++) {
        const next = iterator.next()
        if (next.done) return true
        each(next.value)
      }
      return false
    }
    return new Promise(done => {
      this.#waiting.push({ step, done })
      if (!this.#isWorking) this.#work()
    })
  }

  #work(): void {
    if (!this.#turn) {
      this.#startedAt = this.#now()
      this.#turn = setImmediate(() => {
        this.#turn = undefined
        if (this.#waiting.length > 0) this.#work()
      })
    }
    this.#isWorking = true
    while (this.#waiting.length > 0 && this.#now() - this.#startedAt < FAN_OUT_TURN_MS) {
      const work = this.#waiting.shift()!
      if (work.step()) work.done()
      else this.#waiting.push(work)
    }
    this.#isWorking = false
  }
}
