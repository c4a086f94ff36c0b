/**
 * How long a request may still take (DESIGN §11). It starts in the gateway from the protocol table's deadline, travels
 * in the envelope as the milliseconds that are left, and every wait on the way takes its share from it.
 *
 * A budget is made for every command, so it costs nothing until somebody asks for its signal.
 */
import { Unavailable } from './errors.ts'

export class Budget {
  readonly #ms: number
  readonly #end: number
  readonly #parents: readonly AbortSignal[]
  #reason: Unavailable | undefined
  #controller: AbortController | undefined
  #timer: NodeJS.Timeout | undefined
  #ended = false

  /** `ms`: milliseconds from now. `signals`: other reasons to stop, each aborted with an `Unavailable`. */
  constructor(ms: number, ...signals: AbortSignal[]) {
    this.#ms = ms
    this.#end = performance.now() + ms
    this.#parents = signals
  }

  /**
   * Fires when the time is over, when the caller has given up, or when the process stops. Its reason is an
   * `Unavailable`, so what waits may simply reject with it.
   */
  get signal(): AbortSignal {
    if (this.#controller) return this.#controller.signal
    const { signal } = (this.#controller = new AbortController())
    const reason = this.reason
    if (reason) this.#controller.abort(reason)
    else if (!this.#ended) {
      this.#timer = setTimeout(() => this.cancel(this.#overdue()), this.msLeft).unref()
      for (const parent of this.#parents) parent.addEventListener('abort', this.#onParent, { once: true })
    }
    return signal
  }
  /** Why there is nothing left: what the signal fires with. */
  get reason(): Unavailable | undefined {
    if (this.#reason || this.#ended) return this.#reason
    const parent = this.#parents.find(parent => parent.aborted)
    if (parent) return parent.reason as Unavailable
    return performance.now() < this.#end ? undefined : this.#overdue()
  }
  /** Milliseconds that are left; 0 when there are none. */
  get msLeft(): number {
    return this.#reason ? 0 : Math.max(this.#end - performance.now(), 0)
  }
  /** Milliseconds since it began. */
  get msPassed(): number {
    return performance.now() - this.#end + this.#ms
  }
  /** Milliseconds for one step: what it would like, but no more than is left. */
  share(ms: number): number {
    return Math.min(ms, this.msLeft)
  }

  /** What becomes of `work`, or a rejection with the signal's reason when that comes first; the work itself goes on. */
  race<T>(work: Promise<T>): Promise<T> {
    const { signal } = this
    return new Promise((resolve, reject) => {
      const giveUp = () => reject(signal.reason)
      const settle = () => signal.removeEventListener('abort', giveUp)
      work.finally(settle).then(resolve, reject)
      if (signal.aborted) giveUp()
      else signal.addEventListener('abort', giveUp, { once: true })
    })
  }

  /** Nobody wants the work any more. */
  cancel(reason: Unavailable): void {
    if (this.#ended || this.#reason) return
    this.#reason = reason
    this.#controller?.abort(reason)
    this.end()
  }
  /** The work is done: the signal does not fire any more. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    if (!this.#controller) return
    clearTimeout(this.#timer)
    for (const parent of this.#parents) parent.removeEventListener('abort', this.#onParent)
  }

  readonly #onParent = (event: Event): void => this.cancel((event.target as AbortSignal).reason as Unavailable)
  #overdue(): Unavailable {
    return new Unavailable(`not done within ${Math.round(this.#ms)} ms`)
  }
}
