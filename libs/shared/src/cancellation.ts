/** How somebody who gives up tells whoever works for him. */
import type { Unavailable } from './errors.ts'

/** What is needed of an `AbortSignal`, so that it may be one. Aborted once, its listeners are called then and never later. */
export interface Cancellation {
  readonly aborted: boolean
  /** Why; undefined while it is not aborted. */
  readonly reason: unknown
  addEventListener(type: 'abort', listener: () => void): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/** One that costs next to nothing: an `AbortController` for each command is a tenth of what a light one takes. */
export class Cancel implements Cancellation {
  #reason: Unavailable | undefined
  #listeners: (() => void)[] | undefined

  get aborted(): boolean {
    return this.#reason !== undefined
  }
  get reason(): Unavailable | undefined {
    return this.#reason
  }
  addEventListener(_: 'abort', listener: () => void): void {
    this.#listeners ??= []
    this.#listeners.push(listener)
  }
  removeEventListener(_: 'abort', listener: () => void): void {
    const at = this.#listeners?.indexOf(listener) ?? -1
    if (at >= 0) this.#listeners!.splice(at, 1)
  }
  /** The first reason counts. Listeners must not throw. */
  cancel(reason: Unavailable): void {
    if (this.#reason) return
    this.#reason = reason
    const listeners = this.#listeners
    this.#listeners = undefined
    if (listeners) for (const listener of listeners) listener()
  }
}
