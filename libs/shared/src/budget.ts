/**
 * How long a request may still take (DESIGN §11). It starts in the gateway from the protocol table's deadline, travels
 * in the envelope as the milliseconds that are left, and every wait on the way takes its share from it.
 *
 * A budget is made for every command, so it costs nothing until somebody listens to its end.
 */
import { type Alarm, idleAlarms } from './alarms.ts'
import type { InBag } from './bag.ts'
import { Cancel } from './cancellation.ts'
import { Unavailable } from './errors.ts'

/** Aborted when the time is over, when the caller has given up, or when the process stops; not after `end`. */
export class Budget extends Cancel implements InBag {
  place = -1
  /** As `performance.now()` has it. */
  readonly endsAt: number
  readonly #ms: number
  #controller: AbortController | undefined
  #alarm: Alarm | undefined
  #ended = false

  /** `ms`: milliseconds from now. */
  constructor(ms: number) {
    super()
    this.#ms = ms
    this.endsAt = performance.now() + ms
    if (ms <= 0) this.#timeIsOver()
  }
  /** One that lasts as long as any of these. */
  static ofLongest(budgets: readonly Budget[]): Budget {
    return new Budget(Math.max(...budgets.map(budget => budget.endsAt)) - performance.now())
  }

  override addEventListener(type: 'abort', listener: () => void): void {
    if (this.#ended) return
    super.addEventListener(type, listener)
    this.#alarm ??= idleAlarms.set(this.endsAt, () => this.#timeIsOver())
  }
  /** The same for those who want an `AbortSignal`. */
  get signal(): AbortSignal {
    if (this.#controller) return this.#controller.signal
    const controller = (this.#controller = new AbortController())
    const { reason } = this
    if (reason) controller.abort(reason)
    else this.addEventListener('abort', () => controller.abort(this.reason))
    return controller.signal
  }
  /** Milliseconds that are left; 0 when there are none. */
  get msLeft(): number {
    return this.aborted ? 0 : Math.max(this.endsAt - performance.now(), 0)
  }
  /** Milliseconds since it began. */
  get msPassed(): number {
    return performance.now() - this.endsAt + this.#ms
  }
  /** Milliseconds for one step: what it would like, but no more than is left. */
  share(ms: number): number {
    return Math.min(ms, this.msLeft)
  }

  /** What becomes of `work`, or a rejection with the reason when that comes first; the work itself goes on. */
  race<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const giveUp = () => reject(this.reason)
      const settle = () => this.removeEventListener('abort', giveUp)
      if (this.aborted) giveUp()
      else this.addEventListener('abort', giveUp)
      work.then(
        value => {
          settle()
          resolve(value)
        },
        error => {
          settle()
          reject(error)
        },
      )
    })
  }

  /** Nobody wants the work any more. */
  override cancel(reason: Unavailable): void {
    if (this.#ended) return
    super.cancel(reason)
    this.end()
  }
  #timeIsOver(): void {
    this.cancel(new Unavailable(`not done within ${Math.round(this.#ms)} ms`))
  }
  /** The work is done. */
  end(): void {
    this.#ended = true
    if (this.#alarm) idleAlarms.clear(this.#alarm)
  }
}
