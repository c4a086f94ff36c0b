/** Bounds how many operations run on a back end at once; the others wait in the order of their arrival. */
import { abortedBy, orAborted } from './deadline.ts'

export class Gate {
  #free: number
  readonly #waiting = new Set<() => void>()
  constructor(width: number) {
    this.#free = width
  }

  /**
   * Runs `work` when a place is free. Rejects with `StoreError` as soon as the signal aborts; the place stays taken
   * until `work` has really ended.
   */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (signal.aborted) throw abortedBy(signal)
    if (this.#free > 0) this.#free--
    else await this.#place(signal)
    const running = work()
    const leave = () => this.#leave()
    running.then(leave, leave)
    return orAborted(running, signal)
  }

  #place(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const enter = () => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      }
      const onAbort = () => {
        this.#waiting.delete(enter)
        reject(abortedBy(signal))
      }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#waiting.add(enter)
    })
  }

  /** Hands the place to who has waited longest. */
  #leave(): void {
    const [next] = this.#waiting
    if (!next) {
      this.#free++
      return
    }
    this.#waiting.delete(next)
    next()
  }
}
