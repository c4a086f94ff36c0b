/**
 * How long a request may still take (DESIGN §11). It starts in the gateway from the protocol table's deadline, travels
 * in the envelope as the milliseconds that are left, and every wait on the way takes its share from it.
 */
import { Unavailable } from './errors.ts'

export class Budget {
  /**
   * Fires when the time is over, when the caller has given up, or when the process stops. Its reason is an
   * `Unavailable`, so what waits may simply reject with it.
   */
  readonly signal: AbortSignal
  readonly #end: number

  /** `ms`: milliseconds from now. `signals`: other reasons to stop, each aborted with an `Unavailable`. */
  constructor(ms: number, ...signals: AbortSignal[]) {
    this.#end = performance.now() + ms
    const own = new AbortController()
    const timer = setTimeout(() => own.abort(new Unavailable(`not done within ${ms} ms`)), ms)
    timer.unref()
    this.signal = signals.length === 0 ? own.signal : AbortSignal.any([own.signal, ...signals])
    this.end = () => clearTimeout(timer)
  }

  /** Milliseconds that are left; 0 when there are none. */
  get msLeft(): number {
    return Math.max(this.#end - performance.now(), 0)
  }
  /** Milliseconds for one step: what it would like, but no more than is left. */
  share(ms: number): number {
    return Math.min(ms, this.msLeft)
  }
  /** The work is done: frees the timer. The signal does not fire any more by itself. */
  readonly end: () => void
}
